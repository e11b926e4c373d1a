"""What may happen to a workload in each state, what comes of it, and the arithmetic of its time."""

import msgspec
import pytest

from suanli.domain import events as ev
from suanli.domain.errors import IllegalTransition
from suanli.domain.record import Attempt, Placement, Record, Status
from suanli.domain.resources import Share
from suanli.domain.transition import EX_CONFIG, KILLED_RETRIES, REQUEUED_BY, apply
from suanli.domain.workload import EndCause, Kind, Retry, Service, Workload

ON_N1 = (Placement("n1", Share(cpus=1.0)),)
JOB = Workload(name="a", kind=Kind.TRAIN, run=("train",))
FAILURES = (EndCause.FAILED, EndCause.OUT_OF_MEMORY, EndCause.START_FAILED)


def entry(event: ev.Event, at_s: float = 100.0) -> ev.Entry:
    return ev.Entry(seq=9, at_s=at_s, actor="test", event=event)


def after(record: Record | None, *events: tuple[float, ev.Event]) -> Record:
    for at_s, event in events:
        record = apply(record, entry(event, at_s))
    assert record is not None
    return record


def record_in(status: Status, workload: Workload = JOB) -> Record:
    live = status.is_live
    attempt = Attempt(
        number=3,
        placements=ON_N1,
        placed_s=40.0,
        started_s=None if status is Status.STARTING else 50.0,
        stopping_s=90.0 if status is Status.STOPPING else None,
        stop_cause=EndCause.PREEMPTED if status is Status.STOPPING else None,
    )
    return Record(
        key="a",
        workload=workload,
        seq=1,
        submitted_s=10.0,
        waiting_since_s=10.0,
        status=status,
        attempt=attempt if live else None,
        attempts_made=3,
        ended_s=95.0 if status.is_final else None,
    )


EVENTS: dict[str, ev.WorkloadEvent] = {
    "submitted": ev.Submitted(key="a", workload=JOB),
    "held": ev.Held(key="a"),
    "released": ev.Released(key="a"),
    "placed": ev.Placed(key="a", number=4, placements=ON_N1),
    "started": ev.Started(key="a", number=3),
    "ready": ev.Ready(key="a", number=3),
    "checkpointed": ev.Checkpointed(key="a", number=3, step=5),
    "stop-begun": ev.StopBegun(key="a", number=3, cause=EndCause.DRAINED),
    "succeeded": ev.Ended(key="a", number=3, cause=EndCause.SUCCEEDED),
    "failed": ev.Ended(key="a", number=3, cause=EndCause.FAILED),
    "lost": ev.Ended(key="a", number=3, cause=EndCause.NODE_LOST),
    "stop-requested": ev.StopRequested(key="a"),
    "retried": ev.Retried(key="a"),
}

# What each event leads to from each state; what is not listed is refused.
EXPECTED: dict[str, dict[str, str]] = {
    "none": {"submitted": "waiting"},
    "held": {"released": "waiting", "stop-requested": "stopped"},
    "waiting": {"held": "held", "placed": "starting", "stop-requested": "stopped"},
    "starting": {
        "started": "running",
        "ready": "starting",
        "checkpointed": "starting",
        "stop-begun": "stopping",
        "succeeded": "succeeded",
        "failed": "failed",
        "lost": "waiting",
        "stop-requested": "starting",
    },
    "running": {
        "ready": "running",
        "checkpointed": "running",
        "stop-begun": "stopping",
        "succeeded": "succeeded",
        "failed": "failed",
        "lost": "waiting",
        "stop-requested": "running",
    },
    "stopping": {
        "ready": "stopping",
        "checkpointed": "stopping",
        "succeeded": "succeeded",
        "failed": "failed",
        "lost": "waiting",
        "stop-requested": "stopping",
    },
    "succeeded": {"submitted": "waiting", "retried": "waiting"},
    "failed": {"submitted": "waiting", "retried": "waiting"},
    "stopped": {"submitted": "waiting", "retried": "waiting"},
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("status", EXPECTED)
def test_each_event_in_each_state_leads_where_it_should_or_is_refused(status: str, event: str) -> None:
    record = None if status == "none" else record_in(Status(status))
    expected = EXPECTED[status].get(event)
    if expected is None:
        with pytest.raises(IllegalTransition):
            apply(record, entry(EVENTS[event]))
    else:
        assert apply(record, entry(EVENTS[event])).status.value == expected


@pytest.mark.parametrize("event", ["started", "ready", "checkpointed", "stop-begun", "succeeded"])
@pytest.mark.parametrize("number", [2, 4])
def test_an_event_of_another_attempt_is_refused(event: str, number: int) -> None:
    stale = msgspec.structs.replace(EVENTS[event], number=number)
    with pytest.raises(IllegalTransition, match="not the live one"):
        apply(record_in(Status.STARTING), entry(stale))


@pytest.mark.parametrize("number", [1, 3, 5])
def test_attempts_are_numbered_in_turn(number: int) -> None:
    with pytest.raises(IllegalTransition, match="does not follow 3"):
        apply(record_in(Status.WAITING), entry(ev.Placed(key="a", number=number, placements=ON_N1)))


def test_an_attempt_that_was_told_to_stop_before_it_started_stays_stopping_when_it_is_seen() -> None:
    record = after(
        record_in(Status.STARTING),
        (60.0, ev.StopBegun(key="a", number=3, cause=EndCause.PREEMPTED)),
        (61.0, ev.Started(key="a", number=3)),
    )
    assert record.status is Status.STOPPING


def test_the_same_name_submitted_again_goes_on_counting_attempts() -> None:
    record = apply(record_in(Status.FAILED), entry(ev.Submitted(key="a", workload=JOB)))
    assert (record.status, record.attempts_made, record.failures, record.seq) == (Status.WAITING, 3, 0, 9)


def test_work_submitted_on_hold_is_held() -> None:
    held = msgspec.structs.replace(JOB, held=True)
    assert apply(None, entry(ev.Submitted(key="a", workload=held))).status is Status.HELD


@pytest.mark.parametrize("cause", [cause for cause in EndCause if cause in REQUEUED_BY])
@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_not_its_own_fault_never_counts_against_its_retries(kind: Kind, cause: EndCause) -> None:
    record = record_in(Status.RUNNING, workload_of(kind, Retry(limit=0, delay_s=30.0)))
    record = apply(record, entry(ev.Ended(key="a", number=3, cause=cause)))
    assert (record.status, record.failures, record.not_before_s) == (Status.WAITING, 0, 0.0)


@pytest.mark.parametrize("cause", FAILURES)
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_failing_job_is_tried_again_as_often_as_its_limit_says(cause: EndCause, limit: int) -> None:
    record, tries = record_in(Status.RUNNING, workload_of(Kind.JOB, Retry(limit=limit, delay_s=7.0))), 1
    while (record := after(record, (100.0, _end(record, cause)))).status is Status.WAITING:
        assert record.not_before_s == 107.0
        record = after(record, (107.0, _place(record)))
        tries += 1
    assert (record.status, tries, record.failures) == (Status.FAILED, limit + 1, limit + 1)


def test_only_the_causes_that_are_listed_are_tried_again() -> None:
    record = record_in(Status.RUNNING, workload_of(Kind.JOB, Retry(limit=9, on=(EndCause.OUT_OF_MEMORY,))))
    assert after(record, (100.0, _end(record, EndCause.FAILED))).status is Status.FAILED
    assert after(record, (100.0, _end(record, EndCause.OUT_OF_MEMORY))).status is Status.WAITING


@pytest.mark.parametrize("cause", [*FAILURES, EndCause.SUCCEEDED])
def test_a_service_comes_back_even_after_a_clean_exit_until_its_limit(cause: EndCause) -> None:
    record = record_in(Status.RUNNING, workload_of(Kind.SERVE, Retry(limit=1, on=())))
    record = after(record, (100.0, _end(record, cause)))
    assert (record.status, record.failures) == (Status.WAITING, 1)
    record = after(record, (110.0, _place(record)))
    assert after(record, (120.0, _end(record, cause))).status is Status.FAILED


@pytest.mark.parametrize(
    ("kind", "cause", "status"),
    [
        (Kind.SERVE, EndCause.FAILED, Status.FAILED),
        (Kind.SERVE, EndCause.PREEMPTED, Status.WAITING),
        (Kind.TRAIN, EndCause.FAILED, Status.WAITING),
    ],
)
def test_a_replica_that_says_it_would_end_the_same_way_again_is_believed(
    kind: Kind, cause: EndCause, status: Status
) -> None:
    record = record_in(Status.RUNNING, workload_of(kind, Retry(limit=9)))
    ended = ev.Ended(key="a", number=3, cause=cause, exit_code=EX_CONFIG)
    assert after(record, (100.0, ended)).status is status


@pytest.mark.parametrize("cause", list(EndCause))
def test_what_somebody_wants_ended_never_comes_back(cause: EndCause) -> None:
    record = record_in(Status.RUNNING, workload_of(Kind.SERVE, Retry(limit=9)))
    record = after(record, (99.0, ev.StopRequested(key="a")), (100.0, _end(record, cause)))
    assert (record.status, record.stop_requested) == (Status.STOPPED, True)


@pytest.mark.parametrize("cause", [EndCause.STOPPED, EndCause.IDLE])
def test_being_stopped_or_idle_is_no_failure_and_is_final(cause: EndCause) -> None:
    record = record_in(Status.RUNNING, workload_of(Kind.JOB, Retry(limit=9)))
    record = after(record, (100.0, _end(record, cause)))
    assert (record.status, record.failures, record.ended_s) == (Status.STOPPED, 0, 100.0)


def test_preemptions_are_counted() -> None:
    record = record_in(Status.RUNNING)
    assert after(record, (100.0, _end(record, EndCause.PREEMPTED))).preemptions == 1
    assert after(record, (100.0, _end(record, EndCause.DRAINED))).preemptions == 0


def test_a_retry_by_hand_starts_with_a_clean_slate_but_keeps_what_was_spent() -> None:
    record = record_in(Status.RUNNING)
    record = after(record, (100.0, _end(record, EndCause.FAILED)), (150.0, ev.Retried(key="a")))
    assert (record.failures, record.end_cause, record.ended_s, record.waiting_since_s) == (
        0,
        None,
        None,
        150.0,
    )
    assert (record.run_s, record.attempts_made) == (50.0, 3)


def test_a_finished_record_keeps_no_attempt_and_says_how_it_ended() -> None:
    ended = ev.Ended(key="a", number=3, cause=EndCause.FAILED, exit_code=7, detail="no data")
    record = apply(record_in(Status.RUNNING), entry(ended))
    assert (record.attempt, record.end_cause) == (None, EndCause.FAILED)
    assert (record.exit_code, record.end_detail, record.ended_s) == (7, "no data", 100.0)


def test_waiting_running_and_lost_time_add_up_over_a_life() -> None:
    record = after(
        None,
        (0.0, ev.Submitted(key="a", workload=JOB)),
        (10.0, ev.Held(key="a")),  # waited 10
        (50.0, ev.Released(key="a")),  # being held is not waiting
        (55.0, ev.Placed(key="a", number=1, placements=ON_N1)),  # waited 5
        (60.0, ev.Started(key="a", number=1)),
        (100.0, ev.Checkpointed(key="a", number=1, step=4)),
        (130.0, ev.StopBegun(key="a", number=1, cause=EndCause.PREEMPTED)),
        (140.0, ev.Ended(key="a", number=1, cause=EndCause.PREEMPTED)),  # ran 80, lost 40
        (200.0, ev.Placed(key="a", number=2, placements=ON_N1)),  # waited 60
        (210.0, ev.Started(key="a", number=2)),
        (240.0, ev.Ended(key="a", number=2, cause=EndCause.SUCCEEDED)),  # ran 30, lost nothing
    )
    assert (record.wait_s, record.run_s, record.lost_s) == (75.0, 110.0, 40.0)
    assert (record.status, record.ended_s, record.attempts_made) == (Status.SUCCEEDED, 240.0, 2)


def test_an_attempt_that_never_started_ran_and_lost_nothing() -> None:
    record = after(record_in(Status.STARTING), (100.0, ev.Ended(key="a", number=3, cause=EndCause.NODE_LOST)))
    assert (record.run_s, record.lost_s) == (0.0, 0.0)


def test_unsaved_work_is_counted_from_the_last_checkpoint_else_from_the_start() -> None:
    record = record_in(Status.RUNNING)
    assert record.unsaved_s(80.0) == 30.0
    record = after(record, (70.0, ev.Checkpointed(key="a", number=3, step=1)))
    assert (record.unsaved_s(80.0), record.unsaved_s(69.0)) == (10.0, 0.0)
    assert record_in(Status.STARTING).unsaved_s(80.0) == 0.0


def test_what_ends_while_it_waits_has_waited_until_then() -> None:
    record = after(record_in(Status.WAITING), (100.0, ev.StopRequested(key="a")))
    assert (record.wait_s, record.ended_s, record.end_cause) == (90.0, 100.0, EndCause.STOPPED)


def workload_of(kind: Kind, retry: Retry) -> Workload:
    service = Service() if kind is Kind.SERVE else None
    return msgspec.structs.replace(JOB, kind=kind, retry=retry, service=service)


def _end(record: Record, cause: EndCause) -> ev.Ended:
    return ev.Ended(key="a", number=record.attempts_made, cause=cause)


def _place(record: Record) -> ev.Placed:
    return ev.Placed(key="a", number=record.attempts_made + 1, placements=ON_N1)


def test_a_killed_worker_is_tried_again_from_its_checkpoint_but_not_for_ever() -> None:
    record = after(None, (0.0, ev.Submitted(key="a", workload=JOB)))
    ends = 0
    while record.status is Status.WAITING:
        number = record.attempts_made + 1
        placed = ev.Placed(key="a", number=number, placements=ON_N1)
        killed = ev.Ended(key="a", number=number, cause=EndCause.KILLED, exit_code=137)
        record = after(record, (1.0 + ends, placed), (2.0 + ends, killed))
        ends += 1
    assert (record.status, ends) == (Status.FAILED, KILLED_RETRIES + 1)
