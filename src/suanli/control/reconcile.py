"""What an observation means: events for the log, and what the engine must be told again. Pure."""

from collections.abc import Mapping

import msgspec

from suanli.domain import events as ev
from suanli.domain.observation import AttemptView, Observation, Phase
from suanli.domain.record import Attempt, Record, Status
from suanli.domain.workload import EndCause
from suanli.domain.world import World
from suanli.kernel.outcome import events_seen

MISSING_S = 10.0
"""An attempt that was seen running and that the engine no longer knows is given up after that long."""


class Findings(msgspec.Struct):
    """`relaunch` and `stop` are attempts that should be (or end) there and are not (or do not); `forget` have ended
    for the log too; `strays` run although no record wants them. `missing` are known to nobody."""

    events: list[ev.Event] = msgspec.field(default_factory=list[ev.Event])
    relaunch: list[Record] = msgspec.field(default_factory=list[Record])
    stop: list[Record] = msgspec.field(default_factory=list[Record])
    forget: list[tuple[str, int]] = msgspec.field(default_factory=list[tuple[str, int]])
    strays: list[tuple[str, int]] = msgspec.field(default_factory=list[tuple[str, int]])
    missing: list[str] = msgspec.field(default_factory=list[str])


def reconcile(
    world: World, seen: Observation, missing_since_s: Mapping[str, float], now_s: float
) -> Findings:
    """Compare what the log says with what is. O(records + views)."""
    findings = Findings()
    views = {(view.key, view.number): view for view in seen.attempts}
    alive = {node.name for node in seen.nodes if node.alive}
    for record in world.records.values():
        attempt = record.attempt
        if attempt is None:
            continue
        view = views.pop((record.key, attempt.number), None)
        if view is not None:
            _compare(findings, record, attempt, view)
        elif attempt.started_s is None and not all(p.node in alive for p in attempt.placements):
            findings.events.append(_lost(record, attempt, "a node was gone before it could start there"))
        else:
            _unknown_to_engine(findings, record, attempt, missing_since_s.get(record.key), now_s)
    for (key, number), view in views.items():
        (findings.forget if view.phase is Phase.ENDED else findings.strays).append((key, number))
    return findings


def _compare(findings: Findings, record: Record, attempt: Attempt, view: AttemptView) -> None:
    findings.events += events_seen(record, attempt, view)
    if view.phase is Phase.ENDED:
        return
    if record.status is Status.STOPPING:
        if view.phase is not Phase.STOPPING:
            findings.stop.append(record)
    elif record.stop_requested:
        findings.events.append(ev.StopBegun(key=record.key, number=attempt.number, cause=EndCause.STOPPED))


def _unknown_to_engine(
    findings: Findings, record: Record, attempt: Attempt, missing_since_s: float | None, now_s: float
) -> None:
    """Never seen: start it (again), or call it off. Seen once and gone: its engine died with it, after a while."""
    if attempt.started_s is None and record.status is Status.STARTING and not record.stop_requested:
        findings.relaunch.append(record)
    elif missing_since_s is not None and now_s - missing_since_s >= MISSING_S:
        findings.events.append(_lost(record, attempt, "the engine no longer knows it"))
    else:
        findings.missing.append(record.key)


def _lost(record: Record, attempt: Attempt, detail: str) -> ev.Ended:
    cause = attempt.stop_cause or (EndCause.STOPPED if record.stop_requested else EndCause.NODE_LOST)
    return ev.Ended(key=record.key, number=attempt.number, cause=cause, detail=detail)
