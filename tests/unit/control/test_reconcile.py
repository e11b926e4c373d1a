"""What an observation means for the log, and what the engine must be told again."""

from typing import Any

import msgspec
import pytest
from tests.building import NOW_S, happened, node, running, waiting, workload

from suanli.control.reconcile import MISSING_S, Findings, reconcile
from suanli.domain import events as ev
from suanli.domain.observation import AttemptView, NodeView, Observation, Phase, Progress
from suanli.domain.record import Record, Status
from suanli.domain.workload import EndCause, Kind
from suanli.domain.world import World

RUNNING = running(workload("w"), "n0")
STARTING = running(workload("w"), "n0", status=Status.STARTING)
STOPPING = happened(RUNNING, ev.StopBegun(key="w", number=1, cause=EndCause.PREEMPTED))
UNWANTED = happened(RUNNING, ev.StopRequested(key="w"))


def seen(
    phase: Phase | None, *, number: int = 1, key: str = "w", nodes: tuple[str, ...] = ("n0",), **more: Any
) -> Observation:
    """Nodes that are alive, and one attempt, or none."""
    view = AttemptView(key=key, number=number, phase=phase, **more) if phase else None
    return Observation(
        incarnation="x",
        nodes=tuple(NodeView(name=name, seen=node(name)) for name in nodes),
        attempts=(view,) if view else (),
    )


def findings(
    record: Record | None, observation: Observation, *, missing_for_s: float | None = None
) -> Findings:
    world = World(records={record.key: record} if record else {})
    missing = {} if missing_for_s is None else {"w": NOW_S - missing_for_s}
    return reconcile(world, observation, missing, NOW_S)


def told(found: Findings) -> list[str]:
    return [type(event).__name__ for event in found.events]


def cause_of(found: Findings) -> EndCause:
    (event,) = found.events
    assert isinstance(event, ev.Ended)
    return event.cause


@pytest.mark.parametrize(
    ("record", "phase", "events"),
    [
        (STARTING, Phase.CREATING, []),
        (STARTING, Phase.RUNNING, ["Started"]),
        (RUNNING, Phase.RUNNING, []),
        (RUNNING, Phase.READY, []),
        (RUNNING, Phase.LOST, []),
        (RUNNING, Phase.STOPPING, []),
        (RUNNING, Phase.ENDED, ["Ended"]),
        (STARTING, Phase.ENDED, ["Ended"]),
        (STOPPING, Phase.STOPPING, []),
        (STOPPING, Phase.ENDED, ["Ended"]),
        (UNWANTED, Phase.RUNNING, ["StopBegun"]),
        (UNWANTED, Phase.ENDED, ["Ended"]),
    ],
)
def test_what_is_seen_becomes_events_once(record: Record, phase: Phase, events: list[str]) -> None:
    found = findings(record, seen(phase))
    assert told(found) == events
    assert (found.relaunch, found.stop, found.forget, found.strays, found.missing) == ([], [], [], [], [])
    for event in found.events:
        assert isinstance(event, ev.Started | ev.Ended | ev.StopBegun)
        record = happened(record, event)  # the log allows it
    again = findings(record, seen(phase))
    assert told(again) == []


def test_a_service_is_ready_when_it_first_answers() -> None:
    loading = running(workload("w", kind=Kind.SERVE), "n0", ready=False)
    assert told(findings(loading, seen(Phase.READY))) == ["Ready"]
    starting = running(workload("w", kind=Kind.SERVE), "n0", ready=False, status=Status.STARTING)
    assert told(findings(starting, seen(Phase.READY))) == ["Started", "Ready"]


@pytest.mark.parametrize(("step", "events"), [(None, []), (7, []), (6, []), (8, ["Checkpointed"])])
def test_a_checkpoint_is_told_when_it_is_newer(step: int | None, events: list[str]) -> None:
    saved = happened(RUNNING, ev.Checkpointed(key="w", number=1, step=7))
    progress = Progress(step=9, checkpoint_step=step)
    assert told(findings(saved, seen(Phase.RUNNING, progress=progress))) == events


def test_a_checkpoint_made_at_the_very_end_counts_before_the_end() -> None:
    found = findings(RUNNING, seen(Phase.ENDED, progress=Progress(checkpoint_step=3), cause=EndCause.FAILED))
    assert told(found) == ["Checkpointed", "Ended"]


@pytest.mark.parametrize(
    ("record", "reported", "cause"),
    [
        (RUNNING, EndCause.SUCCEEDED, EndCause.SUCCEEDED),
        (RUNNING, EndCause.OUT_OF_MEMORY, EndCause.OUT_OF_MEMORY),
        (RUNNING, None, EndCause.FAILED),
        (STOPPING, EndCause.FAILED, EndCause.PREEMPTED),
        (STOPPING, EndCause.NODE_LOST, EndCause.PREEMPTED),
        (STOPPING, None, EndCause.PREEMPTED),
        (STOPPING, EndCause.SUCCEEDED, EndCause.SUCCEEDED),  # it finished before it could be stopped
    ],
)
def test_what_an_end_is_called(record: Record, reported: EndCause | None, cause: EndCause) -> None:
    found = findings(record, seen(Phase.ENDED, cause=reported, exit_code=3, detail="why"))
    (event,) = found.events
    assert isinstance(event, ev.Ended)
    assert (event.cause, event.exit_code, event.detail) == (cause, 3, "why")


def test_what_was_never_started_is_started_again() -> None:
    assert findings(STARTING, seen(None)).relaunch == [STARTING]


def test_but_not_where_a_node_is_gone_and_that_is_not_its_failure() -> None:
    assert cause_of(findings(STARTING, seen(None, nodes=("n1",)))) is EndCause.NODE_LOST


@pytest.mark.parametrize(
    ("record", "cause"),
    [(RUNNING, EndCause.NODE_LOST), (STOPPING, EndCause.PREEMPTED), (UNWANTED, EndCause.STOPPED)],
)
def test_what_the_engine_no_longer_knows_is_given_up_at_the_exact_instant(
    record: Record, cause: EndCause
) -> None:
    for missing_for_s in (None, MISSING_S - 0.001):
        found = findings(record, seen(None), missing_for_s=missing_for_s)
        assert (told(found), found.missing, found.relaunch) == ([], ["w"], [])
    assert cause_of(findings(record, seen(None), missing_for_s=MISSING_S)) is cause


def test_what_nobody_wants_started_any_more_is_not_started() -> None:
    unwanted = happened(STARTING, ev.StopRequested(key="w"))
    found = findings(unwanted, seen(None))
    assert (found.relaunch, found.missing) == ([], ["w"])
    assert cause_of(findings(unwanted, seen(None), missing_for_s=MISSING_S)) is EndCause.STOPPED


def test_a_stop_that_the_engine_did_not_hear_is_told_again() -> None:
    for phase in (Phase.CREATING, Phase.RUNNING, Phase.READY, Phase.LOST):
        assert findings(STOPPING, seen(phase)).stop == [STOPPING]


@pytest.mark.parametrize(
    "record", [None, waiting(workload("w")), msgspec.structs.replace(RUNNING, key="other")]
)
def test_what_runs_and_no_record_wants_is_a_stray_and_what_has_ended_is_forgotten(
    record: Record | None,
) -> None:
    assert findings(record, seen(Phase.RUNNING)).strays == [("w", 1)]
    assert findings(record, seen(Phase.ENDED)).forget == [("w", 1)]


def test_an_earlier_attempt_that_still_runs_is_a_stray() -> None:
    second = msgspec.structs.replace(
        RUNNING,
        attempts_made=2,
        attempt=msgspec.structs.replace(RUNNING.attempt, number=2),  # type: ignore[type-var]
    )
    found = findings(second, seen(Phase.RUNNING, number=1))
    assert found.strays == [("w", 1)]
    assert found.missing == ["w"]
