"""What has happened, collected over the API and counted: who ran where, why each waited, what it cost.

For `report` and the tour, which show the same figures.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from suanli.cli.client import Client
from suanli.cli.events import entries
from suanli.cli.render import listed, money
from suanli.domain import events as ev
from suanli.domain.decision import Decision
from suanli.domain.events import Entry
from suanli.domain.reasons import Reason, Tier, code_of
from suanli.reports.page import Curve, PageData
from suanli.reports.quantities import duration
from suanli.reports.timeline import RunSpan, WaitSpan, run_spans, wait_spans

DECISIONS_READ = 200
"""As many as the API gives; a decision is recorded only where it changes something."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The log, the decisions, and how workloads and nodes stand, as of `now_s`."""

    entries: tuple[Entry, ...]
    decisions: tuple[Decision, ...]
    workloads: tuple[dict[str, Any], ...]
    nodes: tuple[dict[str, Any], ...]
    policy: str
    now_s: float

    @property
    def runs(self) -> tuple[RunSpan, ...]:
        return run_spans(self.entries, self.now_s)

    @property
    def waits(self) -> tuple[WaitSpan, ...]:
        return wait_spans(self.decisions, self.now_s)

    @property
    def since_s(self) -> float:
        return self.entries[0].at_s if self.entries else self.now_s


def collect(client: Client, now_s: float) -> Account:
    """The whole log, and the latest decisions. O(entries + decisions)."""
    return Account(
        entries=tuple(msgspec.convert(list(entries(client, 0)), list[Entry], strict=False)),
        decisions=tuple(
            _decision(view) for view in client.get("/v1/decisions", limit=DECISIONS_READ)["decisions"]
        ),
        workloads=tuple(client.get("/v1/workloads", all=True)["workloads"]),
        nodes=tuple(client.get("/v1/nodes")["nodes"]),
        policy=client.get("/v1/policy")["policy"],
        now_s=now_s,
    )


def waited_for(account: Account, key: str) -> str:
    """`ResourcesBusy 12s, DependsOn 40s`: the longest first."""
    total: dict[str, float] = {}
    for span in account.waits:
        if span.key == key and code_of(span.token).tier is not Tier.STARTING:
            total[span.token] = total.get(span.token, 0.0) + span.to_s - span.from_s
    longest = sorted(total.items(), key=lambda item: -item[1])
    return ", ".join(f"{token} {duration(seconds)}" for token, seconds in longest if seconds >= 0.5)


def held_fraction(account: Account) -> float | None:
    """Core-seconds placed, of those that the declared fleet had meanwhile; None without a fleet."""
    fleets = [entry.event.fleet for entry in account.entries if isinstance(entry.event, ev.FleetDeclared)]
    cores = sum(node.cpus for node in fleets[-1].nodes) if fleets else 0.0
    elapsed_s = account.now_s - account.since_s
    if not cores or elapsed_s <= 0:
        return None
    held: dict[tuple[str, int], float] = {
        (e.event.key, e.event.number): sum(placement.share.cpus for placement in e.event.placements)
        for e in account.entries
        if isinstance(e.event, ev.Placed)
    }
    used = sum(held[run.key, run.number] * (run.to_s - run.placed_s) for run in account.runs)
    return used / (cores * elapsed_s)


SUMMARY_HEAD = ("WORKLOAD", "STATUS", "RAN ON", "ATTEMPTS", "WAITED", "RAN", "COST", "WAITED FOR")


def summary(account: Account) -> tuple[tuple[str, ...], ...]:
    """One row for each workload, under `SUMMARY_HEAD`."""
    return tuple(
        (
            view["key"],
            "ready" if view["ready"] else view["status"],
            listed(view["nodes"]),
            str(view["attempts_made"]),
            duration(view["waited_s"]),
            duration(view["ran_s"]),
            money(view["cost_so_far"]),
            waited_for(account, view["key"]),
        )
        for view in account.workloads
    )


def facts(account: Account) -> tuple[str, ...]:
    """What holds for all of it, in short lines."""
    held = held_fraction(account)
    cost = sum(view["cost_so_far"] for view in account.workloads)
    preemptions = sum(view["preemptions"] for view in account.workloads)
    said = [f"{duration(account.now_s - account.since_s)} under the policy {account.policy}"]
    if held is not None:
        said.append(f"{held:.0%} of the fleet's cores were held by workloads, on average")
    said.append(f"{preemptions} preemption{'' if preemptions == 1 else 's'}; {money(cost)} in all")
    return tuple(said)


def page_data(
    account: Account, client: Client, title: str, metrics: Sequence[str], more_facts: Sequence[str] = ()
) -> PageData:
    """Everything for the offline page, with curves of what the controller still remembers."""
    load = [_curve(client, node["name"], "cpu_fraction", account.since_s) for node in account.nodes]
    progress = [
        _curve(client, view["key"], f"metric:{metric}", account.since_s, f"{view['key']} {metric}")
        for view in account.workloads
        for metric in metrics
    ]
    return PageData(
        title=title,
        facts=(*facts(account), *more_facts),
        summary_head=tuple(SUMMARY_HEAD),
        summary=summary(account),
        runs=account.runs,
        waits=account.waits,
        load=tuple(curve for curve in load if curve.points),
        progress=tuple(curve for curve in progress if curve.points),
        progress_unit=", ".join(metrics),
    )


def points(client: Client, subject: str, metric: str, since_s: float) -> list[tuple[float, float]]:
    body = client.get("/v1/series", subject=subject, metric=metric, since=since_s)
    return [(at_s, value) for at_s, value in body["points"]]


def _curve(client: Client, subject: str, metric: str, since_s: float, name: str = "") -> Curve:
    return Curve(name=name or subject, points=points(client, subject, metric, since_s))


def _decision(view: Mapping[str, Any]) -> Decision:
    """As much of a decision as the API shows: which reason held back whom."""
    reasons = [
        Reason(token=w["reason"], resource=w["resource"], will_waiting_help=False, will_preemption_help=False)
        for w in view["waiting"]
    ]
    return Decision(
        policy=view["policy"],
        at_s=view["at_s"],
        reasons=tuple(reasons),
        waiting={key: index for index, w in enumerate(view["waiting"]) for key in w["keys"]},
    )
