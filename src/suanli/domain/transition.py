"""`apply`: the only way a record changes. Pure, per entity, O(1)."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from suanli.domain import events as ev
from suanli.domain.errors import IllegalTransition
from suanli.domain.record import Attempt, Record, Status
from suanli.domain.workload import EndCause, Kind

_S = TypeVar("_S", bound=msgspec.Struct)

REQUEUED_BY: frozenset[EndCause] = frozenset(
    {EndCause.NODE_LOST, EndCause.PREEMPTED, EndCause.REBALANCED, EndCause.DRAINED}
)
"""Ends that are Suanli's or the hardware's doing: the workload waits again, whatever its retry limit."""

KILLED_RETRIES = 3
"""A worker that somebody killed is no fault of its program, unless it goes on being killed."""

EX_CONFIG = 78
"""Exit code of sysexits.h by which a service's program says that it would end the same way again."""


def apply(record: Record | None, entry: ev.Entry) -> Record:
    """The record after one event of its own.

    Raises IllegalTransition where the event makes no sense in the current state: a stale attempt number, a placement
    of something that is stopped, and the like. O(1).
    """
    event = entry.event
    if isinstance(event, ev.Submitted):
        return _submitted(record, event, entry)
    if record is None:
        raise IllegalTransition(f"{getattr(event, 'key', '?')}: there is no such workload")
    handler = _HANDLERS.get(type(event))
    if handler is None:
        raise IllegalTransition(f"{type(event).__name__} does not concern a workload")
    return handler(record, event, entry.at_s)


def _submitted(record: Record | None, event: ev.Submitted, entry: ev.Entry) -> Record:
    if record is not None and not record.status.is_final:
        raise IllegalTransition(f"{event.key} is already {record.status.value}")
    return Record(
        key=event.key,
        workload=event.workload,
        replica=event.replica,
        revision=event.revision,
        seq=entry.seq,
        submitted_s=entry.at_s,
        waiting_since_s=entry.at_s,
        status=Status.HELD if event.workload.held else Status.WAITING,
        attempts_made=record.attempts_made if record else 0,
    )


def _held(record: Record, event: ev.Held, at_s: float) -> Record:
    _require(record, Status.WAITING, event=event)
    return _with(record, status=Status.HELD, wait_s=record.wait_s + at_s - record.waiting_since_s)


def _released(record: Record, event: ev.Released, at_s: float) -> Record:
    _require(record, Status.HELD, event=event)
    return _with(record, status=Status.WAITING, waiting_since_s=at_s)


def _placed(record: Record, event: ev.Placed, at_s: float) -> Record:
    _require(record, Status.WAITING, event=event)
    if event.number != record.attempts_made + 1:
        raise IllegalTransition(
            f"{record.key}: attempt {event.number} does not follow {record.attempts_made}"
        )
    return _with(
        record,
        status=Status.STARTING,
        attempt=Attempt(number=event.number, placements=event.placements, placed_s=at_s),
        attempts_made=event.number,
        wait_s=record.wait_s + at_s - record.waiting_since_s,
    )


def _started(record: Record, event: ev.Started, at_s: float) -> Record:
    attempt = _live_attempt(record, event.number)
    if attempt.started_s is not None:
        raise IllegalTransition(f"{record.key}: attempt {event.number} has started already")
    status = Status.RUNNING if record.status is Status.STARTING else record.status
    return _with(record, status=status, attempt=_with(attempt, started_s=at_s))


def _ready(record: Record, event: ev.Ready, at_s: float) -> Record:
    attempt = _live_attempt(record, event.number)
    return _with(record, attempt=_with(attempt, ready_s=at_s))


def _checkpointed(record: Record, event: ev.Checkpointed, at_s: float) -> Record:
    attempt = _live_attempt(record, event.number)
    saved_s = at_s if event.saved_s is None else min(event.saved_s, at_s)
    return _with(record, attempt=_with(attempt, checkpoint_s=saved_s, checkpoint_step=event.step))


def _stop_begun(record: Record, event: ev.StopBegun, at_s: float) -> Record:
    _require(record, Status.STARTING, Status.RUNNING, event=event)
    attempt = _live_attempt(record, event.number)
    stopping = _with(attempt, stopping_s=at_s, stop_cause=event.cause, stopped_for=event.stopped_for)
    return _with(record, status=Status.STOPPING, attempt=stopping)


def _ended(record: Record, event: ev.Ended, at_s: float) -> Record:
    attempt = _live_attempt(record, event.number)
    ran_s = at_s - attempt.started_s if attempt.started_s is not None else 0.0
    lost_s = 0.0 if event.cause is EndCause.SUCCEEDED else record.unsaved_s(at_s)
    failed = _counts_as_failure(record, event.cause)
    ended = _with(
        record,
        attempt=None,
        run_s=record.run_s + ran_s,
        lost_s=record.lost_s + lost_s,
        done=record.done_by(at_s - lost_s),
        failures=record.failures + failed,
        preemptions=record.preemptions + (event.cause is EndCause.PREEMPTED),
        end_cause=event.cause,
        exit_code=event.exit_code,
        end_detail=event.detail,
    )
    status = _status_after(ended, event.cause)
    if status is Status.WAITING:
        not_before_s = at_s + record.workload.retry.delay_s if failed else 0.0
        return _with(ended, status=status, waiting_since_s=at_s, not_before_s=not_before_s)
    return _with(ended, status=status, ended_s=at_s)


def _counts_as_failure(record: Record, cause: EndCause) -> bool:
    if cause is EndCause.SUCCEEDED:
        return record.workload.kind is Kind.SERVE
    return cause not in REQUEUED_BY and cause not in (EndCause.STOPPED, EndCause.IDLE)


def _status_after(record: Record, cause: EndCause) -> Status:
    if record.stop_requested or cause in (EndCause.STOPPED, EndCause.IDLE):
        return Status.STOPPED
    if cause in REQUEUED_BY:
        return Status.WAITING
    if cause is EndCause.SUCCEEDED and record.workload.kind is not Kind.SERVE:
        return Status.SUCCEEDED
    if record.workload.kind is Kind.SERVE and record.exit_code == EX_CONFIG:
        return Status.FAILED
    retry = record.workload.retry
    if cause is EndCause.KILLED:
        return Status.WAITING if record.failures <= max(retry.limit, KILLED_RETRIES) else Status.FAILED
    retried = cause in retry.on or record.workload.kind is Kind.SERVE
    return Status.WAITING if retried and record.failures <= retry.limit else Status.FAILED


def _stop_requested(record: Record, event: ev.StopRequested, at_s: float) -> Record:
    if record.status.is_final:
        raise IllegalTransition(f"{record.key} has already {record.status.value}")
    if record.status.is_live:
        return _with(record, stop_requested=True)
    waited_s = at_s - record.waiting_since_s if record.status is Status.WAITING else 0.0
    return _with(
        record,
        status=Status.STOPPED,
        stop_requested=True,
        wait_s=record.wait_s + waited_s,
        ended_s=at_s,
        end_cause=EndCause.STOPPED,
    )


def _retried(record: Record, event: ev.Retried, at_s: float) -> Record:
    if not record.status.is_final:
        raise IllegalTransition(
            f"{record.key} is {record.status.value}; only a finished workload can be retried"
        )
    return _with(
        record,
        status=Status.WAITING,
        waiting_since_s=at_s,
        stop_requested=False,
        failures=0,
        not_before_s=0.0,
        ended_s=None,
        end_cause=None,
        exit_code=None,
        end_detail="",
    )


def _require(record: Record, *statuses: Status, event: ev.WorkloadEvent) -> None:
    if record.status not in statuses or (record.stop_requested and isinstance(event, ev.Placed)):
        raise IllegalTransition(
            f"{record.key} is {record.status.value}: {type(event).__name__} does not apply"
        )


def _live_attempt(record: Record, number: int) -> Attempt:
    if record.attempt is None or record.attempt.number != number:
        raise IllegalTransition(f"{record.key}: attempt {number} is not the live one")
    return record.attempt


def _with(value: _S, **changes: Any) -> _S:
    return msgspec.structs.replace(value, **changes)


_HANDLERS: Mapping[type, Callable[[Record, Any, float], Record]] = {
    ev.Held: _held,
    ev.Released: _released,
    ev.Placed: _placed,
    ev.Started: _started,
    ev.Ready: _ready,
    ev.Checkpointed: _checkpointed,
    ev.StopBegun: _stop_begun,
    ev.Ended: _ended,
    ev.StopRequested: _stop_requested,
    ev.Retried: _retried,
}
