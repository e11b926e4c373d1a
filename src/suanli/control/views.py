"""Workloads, what waits, and decisions, as users see them. Pure: each answer is computed from one snapshot."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from suanli.control.controller import Controller
from suanli.control.journal import Journal
from suanli.control.snapshot import Snapshot
from suanli.domain.decision import Action, Decision
from suanli.domain.observation import AttemptView, Phase
from suanli.domain.reasons import Reason, Tier, code_of
from suanli.domain.record import Record, Status
from suanli.domain.workload import EndCause, Kind
from suanli.policies.registry import parse
from suanli.reports.sentences import sentence

ENDED_SHOWN_S = 24 * 3600.0
"""What ended earlier is listed only when asked for."""

KEYS_SHOWN_MAX = 50
"""Workloads named under one reason of a decision."""


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    """What the program last said of itself."""

    step: int
    total: int | None
    metrics: dict[str, float]


class WorkloadView(msgspec.Struct, frozen=True, kw_only=True):
    """A workload, or one replica of a service. `_s` are seconds; instants are since 1970, costs US dollars.

    `nodes` are those of its latest attempt; `attempt` is the number of the live one; `ready` says of a service that
    it answers its health check.
    """

    key: str
    name: str
    replica: int | None
    kind: Kind
    team: str
    priority: int
    status: Status
    reason: str | None
    sentence: str | None
    will_waiting_help: bool | None
    will_preemption_help: bool | None
    nodes: tuple[str, ...]
    attempt: int | None
    attempts_made: int
    preemptions: int
    submitted_s: float
    started_s: float | None
    waited_s: float
    ran_s: float
    lost_s: float
    ended_s: float | None
    end_cause: EndCause | None
    exit_code: int | None
    end_detail: str
    progress: ProgressView | None
    ready: bool
    port: int | None
    url: str | None
    cost_so_far: float


class QueueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A workload that waits. `position` counts from 1 in the policy's order; None where it may not start at all yet."""

    position: int | None
    key: str
    name: str
    replica: int | None
    kind: Kind
    team: str
    priority: int
    nodes: int
    waited_s: float
    reason: str | None
    resource: str
    sentence: str | None
    will_waiting_help: bool | None
    will_preemption_help: bool | None


class WaitingView(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of a decision, and whom it held back; of many `keys` the first."""

    reason: str
    resource: str
    sentence: str
    keys: tuple[str, ...]
    count: int


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it was recorded."""

    policy: str
    at_s: float
    actions: tuple[Action, ...]
    waiting: tuple[WaitingView, ...]
    note: str


def workload_views(
    snapshot: Snapshot, journal: Journal, records: Iterable[Record] | None = None, *, everything: bool = False
) -> tuple[WorkloadView, ...]:
    """Those records, or by default all but what ended more than a day ago. O(workloads)."""
    now_s = snapshot.now_s
    if records is None:
        since_s = 0.0 if everything else now_s - ENDED_SHOWN_S
        records = (r for r in snapshot.world.records.values() if r.ended_s is None or r.ended_s >= since_s)
    attempts = snapshot.attempts()
    addresses = {node.name: node.address for node in snapshot.seen.nodes}
    said = [sentence(reason) for reason in snapshot.decision.reasons]
    views: list[WorkloadView] = []
    for record in records:
        seen = attempts.get((record.key, record.attempt.number)) if record.attempt else None
        index = _reason_index(record, snapshot.decision)
        reason = None if index is None else snapshot.decision.reasons[index]
        text = None if index is None else said[index]
        views.append(_workload_view(record, seen, addresses, reason, text, journal, now_s))
    return tuple(views)


def _workload_view(
    record: Record,
    seen: AttemptView | None,
    addresses: Mapping[str, str],
    reason: Reason | None,
    text: str | None,
    journal: Journal,
    now_s: float,
) -> WorkloadView:
    workload, attempt = record.workload, record.attempt
    nodes = tuple(p.node for p in attempt.placements) if attempt else journal.nodes(record.key)
    port = seen.port if seen else None
    return WorkloadView(
        key=record.key,
        name=workload.name,
        replica=record.replica,
        kind=workload.kind,
        team=workload.team,
        priority=workload.priority,
        status=record.status,
        reason=reason.token if reason else None,
        sentence=text,
        will_waiting_help=reason.will_waiting_help if reason else None,
        will_preemption_help=reason.will_preemption_help if reason else None,
        nodes=nodes,
        attempt=attempt.number if attempt else None,
        attempts_made=record.attempts_made,
        preemptions=record.preemptions,
        submitted_s=record.submitted_s,
        started_s=attempt.started_s if attempt else None,
        waited_s=waited_s(record, now_s),
        ran_s=ran_s(record, now_s),
        lost_s=record.lost_s,
        ended_s=record.ended_s,
        end_cause=record.end_cause,
        exit_code=record.exit_code,
        end_detail=record.end_detail,
        progress=_progress(seen),
        ready=seen is not None and seen.phase is Phase.READY,
        port=port,
        url=f"http://{addresses.get(nodes[0]) or 'localhost'}:{port}" if port and nodes else None,
        cost_so_far=journal.cost(record.key, now_s),
    )


def reason_of(record: Record, decision: Decision) -> Reason | None:
    """Why it does not run (yet), by the latest decision; None where that spoke of another state of it."""
    index = _reason_index(record, decision)
    return None if index is None else decision.reasons[index]


def _reason_index(record: Record, decision: Decision) -> int | None:
    index = decision.waiting.get(record.key)
    if index is None or record.status.is_final or record.status is Status.STOPPING:
        return None
    is_of_start = code_of(decision.reasons[index].token).tier is Tier.STARTING
    return index if is_of_start == record.status.is_live else None


def waited_s(record: Record, now_s: float) -> float:
    return record.wait_s + (now_s - record.waiting_since_s if record.status is Status.WAITING else 0.0)


def ran_s(record: Record, now_s: float) -> float:
    attempt = record.attempt
    return record.run_s + (now_s - attempt.started_s if attempt and attempt.started_s is not None else 0.0)


def _progress(seen: AttemptView | None) -> ProgressView | None:
    if seen is None or seen.progress is None:
        return None
    said = seen.progress
    return ProgressView(step=said.step, total=said.total, metrics=said.metrics)


def queue_order(controller: Controller, now_s: float) -> list[str]:
    """Keys of what waits, in the order in which the policy would take them. For the holder of the mutex. O(n log n)."""
    state = controller.state
    waits = [row for row, r in enumerate(state.line.records) if r.status is Status.WAITING]
    rows = np.array(waits, dtype=np.intp)
    queue = state.queue(rows, now_s)
    ranks = np.lexsort((queue.seq, parse(controller.world.policy).order(queue)))
    return [state.line.records[row].key for row in rows[ranks].tolist()]


def queue_views(snapshot: Snapshot, order: Sequence[str]) -> tuple[QueueEntry, ...]:
    """Those that may start, in `order`; then those that are held, or wait for something other than room."""
    records = snapshot.world.records
    waiting = [records[key] for key in order if key in records and records[key].status is Status.WAITING]
    held = [r for r in records.values() if r.status is Status.HELD]
    may_start = [r for r in waiting if _may_start(r, snapshot.decision)]
    may_not = [r for r in waiting if not _may_start(r, snapshot.decision)] + held
    numbered = [(r, i) for i, r in enumerate(may_start, start=1)]
    return tuple(_queue_entry(r, i, snapshot) for r, i in [*numbered, *((r, None) for r in may_not)])


def _may_start(record: Record, decision: Decision) -> bool:
    reason = reason_of(record, decision)
    return reason is None or code_of(reason.token).tier is Tier.WAITING


def _queue_entry(record: Record, position: int | None, snapshot: Snapshot) -> QueueEntry:
    reason = reason_of(record, snapshot.decision)
    workload = record.workload
    return QueueEntry(
        position=position,
        key=record.key,
        name=workload.name,
        replica=record.replica,
        kind=workload.kind,
        team=workload.team,
        priority=workload.priority,
        nodes=workload.nodes,
        waited_s=waited_s(record, snapshot.now_s),
        reason=reason.token if reason else None,
        resource=reason.resource if reason else "",
        sentence=sentence(reason) if reason else None,
        will_waiting_help=reason.will_waiting_help if reason else None,
        will_preemption_help=reason.will_preemption_help if reason else None,
    )


def decision_view(decision: Decision) -> DecisionView:
    """O(waiting)."""
    keys: dict[int, list[str]] = {}
    for key, index in decision.waiting.items():
        keys.setdefault(index, []).append(key)
    return DecisionView(
        policy=decision.policy,
        at_s=decision.at_s,
        actions=decision.actions,
        waiting=tuple(_waiting_view(decision.reasons[index], keys[index]) for index in sorted(keys)),
        note=decision.note,
    )


def _waiting_view(reason: Reason, keys: list[str]) -> WaitingView:
    return WaitingView(
        reason=reason.token,
        resource=reason.resource,
        sentence=sentence(reason),
        keys=tuple(keys[:KEYS_SHOWN_MAX]),
        count=len(keys),
    )
