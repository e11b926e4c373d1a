"""`plan --what-if`: how things would go on as they are, and how with something changed. Changes nothing."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from suanli.control.planning import share_price, submit
from suanli.domain.decision import Memory
from suanli.domain.errors import UsageError
from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Record
from suanli.domain.workload import Kind, Workload
from suanli.kernel.backfill import left_s
from suanli.kernel.services import beginning, replicas_of
from suanli.kernel.state import State, unended
from suanli.perf.durations import mean_speed
from suanli.perf.prediction import UNKNOWN_S
from suanli.policies.parts import Policy
from suanli.sim.foresee import LIVE, on_grid
from suanli.sim.outcome import Outcome
from suanli.sim.simulation import Simulation
from suanli.sim.trace import NOBODY
from suanli.spec.problems import nearest

NODES_MAX = 100_000

STEPS_MAX = 10_000
"""Steps that are played, beside STEPS_EACH for each workload: some three to six weeks of rounds."""

STEPS_EACH = 8

_COUNT = re.compile(r"fleet\.nodes\.(?P<name>[^=\s]+)\.count=(?P<sign>[+-]?)(?P<number>[0-9]{1,6})")


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be other: (nodes, sign, number) of the fleet, the policy, and fields as `--set` takes them."""

    said: tuple[str, ...]
    counts: tuple[tuple[str, str, int], ...] = ()
    policy: str = ""
    overrides: tuple[str, ...] = ()


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """When a workload would start and end, in seconds from now; None: never, as far as can be foreseen."""

    workload: str
    replica: int | None
    start_s: float | None
    end_s: float | None


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """How all would go on. `mean_end_s` and `all_ended_s` are of the jobs that end, `cost` is what all hold until then.

    `never` are how many would not start; services hold what they hold for good, and cost is counted without them.
    Playing was given up after `beyond_s` seconds; None: it came to its end.
    """

    policy: str
    nodes: int
    starts_now: int
    never: int
    mean_end_s: float | None
    all_ended_s: float | None
    beyond_s: float | None
    cost: float
    fleet_per_hour: float
    workloads: tuple[Going, ...]


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """`now` as things are, `then` with the changes. Of `assumed` nobody knows how long they take: counted as 1 h."""

    changes: tuple[str, ...]
    assumed: tuple[str, ...]
    now: Outlook
    then: Outlook


def changes_of(texts: Sequence[str]) -> Changes:
    """Raises UsageError where one is neither of the fleet, nor a policy, nor what `--set` takes."""
    counts: list[tuple[str, str, int]] = []
    overrides: list[str] = []
    policy = ""
    for text in texts:
        field, equals, value = text.partition("=")
        of_fleet = _COUNT.fullmatch(text)
        if of_fleet:
            counts.append((of_fleet["name"], of_fleet["sign"], int(of_fleet["number"])))
        elif field == "policy" and value:
            policy = value
        elif equals and field != "policy" and not field.startswith("fleet."):
            overrides.append(text)
        else:
            raise UsageError(
                f"Cannot tell what {text[:80]!r} would change.",
                remedy="Such as `fleet.nodes.h100.count=+2`, `policy=srtf`, or as for `--set`: `gpt:resources.cpus=4`.",
            )
    return Changes(said=tuple(texts), counts=tuple(counts), policy=policy, overrides=tuple(overrides))


def changed_fleet(fleet: Fleet, changes: Changes) -> Fleet:
    """With more or fewer nodes; the last of a name go first. Raises UsageError for names that are not there."""
    for name, sign, number in changes.counts:
        fleet = msgspec.structs.replace(fleet, nodes=_with_count(fleet.nodes, name, sign, number))
    return fleet


def compare(
    state: State,
    memory: Memory,
    policies: tuple[Policy, Policy],
    asked: tuple[Sequence[Workload], Sequence[Workload]],
    changes: Changes,
    now_s: float,
) -> WhatIf:
    """Play `state` on with what is asked, as it is and with the changes; (now, then) each. O(events to the end)."""
    now, then = state.copy(), state.copy()
    then.set_nodes(changed_fleet(state.fleet, changes), state.unusable)
    told = [
        _outlook(side, memory, policy, workloads, now_s)
        for side, policy, workloads in zip((now, then), policies, asked, strict=True)
    ]
    return WhatIf(changes=changes.said, assumed=tuple(_assumed(then)), now=told[0], then=told[1])


def _with_count(nodes: Sequence[Node], name: str, sign: str, number: int) -> tuple[Node, ...]:
    of_name = {node.name: k for node in nodes if (k := _number(node.name, name)) is not None}
    if not of_name:
        known = dict.fromkeys(re.sub(r"-[0-9]+$", "", node.name) for node in nodes)
        near = nearest(name, known)
        hint = f"Did you mean {near}?" if near else f"There are {', '.join(known)[:300]}."
        raise UsageError(f"The fleet has no nodes {name!r}.", remedy=hint)
    count = {"": number, "+": len(of_name) + number, "-": len(of_name) - number}[sign]
    if not 0 <= count <= NODES_MAX:
        raise UsageError(
            f"{name}: {count} nodes are not possible.",
            remedy=f"There are {len(of_name)} now; give a number from 0 to {NODES_MAX}.",
        )
    kept = sorted(of_name, key=lambda node: of_name[node])[:count]
    gone = of_name.keys() - set(kept)
    template = next(node for node in nodes if node.name in of_name)
    first = max(of_name.values()) + 1
    fresh = (msgspec.structs.replace(template, name=f"{name}-{first + i}") for i in range(count - len(kept)))
    return (*(node for node in nodes if node.name not in gone), *fresh)


def _number(node: str, name: str) -> int | None:
    """The position of a node among those of a name: `name` itself, or `name-k`."""
    if node == name:
        return 0
    tail = node.removeprefix(f"{name}-")
    return int(tail) if tail != node and tail.isdecimal() else None


def _outlook(
    state: State, memory: Memory, policy: Policy, workloads: Sequence[Workload], now_s: float
) -> Outlook:
    keys = {key: who for workload in workloads for key, who in _replicas(state, workload)}
    fresh = [w for w in workloads if not _is_there(state, w)]
    submit(state, fresh, now_s)
    rng = np.random.default_rng(len(state.records))
    left = {record.key: _left(state, record, now_s) for record in unended(state)}
    rest_s = [left[record.key] / mean_speed(record.workload) for record in unended(state)]
    conditions = on_grid(LIVE, rest_s)
    run = Simulation.going_on(state, memory, left, NOBODY, policy, conditions, rng, now_s)
    beyond_s = _play(run, STEPS_MAX + STEPS_EACH * len(rest_s))
    outcome = run.outcome()
    starts = _starts_s(outcome, now_s)
    ends = {r.key: r.ended_s - now_s for r in outcome.records if r.ended_s is not None and r.key in left}
    waited = [record.key for record in state.waiting.values()]
    return Outlook(
        policy=policy.name,
        nodes=len(state.fleet.nodes),
        starts_now=sum(starts.get(key, math.inf) <= 0.0 for key in waited),
        never=sum(key not in starts for key in waited),
        mean_end_s=round(float(np.mean(list(ends.values()))), 1) if ends else None,
        all_ended_s=round(max(ends.values()), 1) if ends else None,
        beyond_s=None if beyond_s is None else round(beyond_s - now_s, 1),
        cost=round(_cost(outcome, now_s), 6),
        fleet_per_hour=round(sum(node.price_per_hour for node in state.fleet.nodes), 6),
        workloads=tuple(
            Going(
                workload=name, replica=replica, start_s=_tenths(starts.get(key)), end_s=_tenths(ends.get(key))
            )
            for key, (name, replica) in keys.items()
        ),
    )


def _play(run: Simulation, steps_max: int) -> float | None:
    """To the end; else the instant at which it was given up, as it goes on for longer than so many steps."""
    while run.advance():
        if run.steps >= steps_max:
            return run.now_s
    return None


def _is_there(state: State, workload: Workload) -> bool:
    return any(
        record.workload == workload and not record.status.is_final for record in _records(state, workload)
    )


def _records(state: State, workload: Workload) -> list[Record]:
    if workload.service is None:
        record = state.records.get(workload.name)
        return [record] if record else []
    return replicas_of(workload.name, state.records)


def _replicas(state: State, workload: Workload) -> Iterator[tuple[str, tuple[str, int | None]]]:
    """What runs of it or would be added, by key."""
    if _is_there(state, workload):
        there = ((r.key, r.replica) for r in _records(state, workload) if not r.status.is_final)
    else:
        there = beginning(workload, state.records)
    for key, replica in there:
        yield key, (workload.name, replica)


def _left(state: State, record: Record, now_s: float) -> float:
    """Work left, in the workload's own units: by what is declared or learned, else an hour; a service never ends."""
    if record.workload.kind is Kind.SERVE:
        return math.inf
    rest_s = left_s(state, record, now_s)
    return (UNKNOWN_S if math.isinf(rest_s) else rest_s) * mean_speed(record.workload)


def _assumed(state: State) -> list[str]:
    return sorted(
        {
            record.name
            for record in unended(state)
            if record.workload.kind is not Kind.SERVE and state.durations.estimate_s(record) is None
        }
    )


def _starts_s(outcome: Outcome, now_s: float) -> Mapping[str, float]:
    """Seconds from now until each is placed for the first time; what runs already, 0."""
    starts: dict[str, float] = {}
    for stay in outcome.stays:
        start_s = max(0.0, stay.placed_s - now_s)
        starts[stay.key] = min(starts.get(stay.key, math.inf), start_s)
    return starts


def _cost(outcome: Outcome, now_s: float) -> float:
    nodes = {node.name: node for node in outcome.fleet.nodes}
    services = {r.key for r in outcome.records if r.workload.kind is Kind.SERVE}
    return sum(
        share_price(nodes[place.node], place.share) * (stay.ended_s - max(stay.placed_s, now_s)) / 3600.0
        for stay in outcome.stays
        if stay.key not in services
        for place in stay.placements
        if place.node in nodes
    )


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
