"""What decisions and sightings mean: the events that say so, and the state after them."""

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Place, Stop
from suanli.domain.observation import AttemptView, Phase
from suanli.domain.record import Attempt, Record
from suanli.domain.transition import apply
from suanli.domain.workload import EndCause
from suanli.kernel.state import State


def events_of(decision: Decision) -> list[ev.WorkloadEvent]:
    """The events of workloads that a decision means; warnings and changes of the fleet mean none."""
    events: list[ev.WorkloadEvent] = []
    for action in decision.actions:
        if isinstance(action, Place):
            events.append(ev.Placed(key=action.key, number=action.number, placements=action.placements))
        elif isinstance(action, Stop):
            events.append(
                ev.StopBegun(
                    key=action.key, number=action.number, cause=action.cause, stopped_for=action.stopped_for
                )
            )
    return events


def events_seen(record: Record, attempt: Attempt, view: AttemptView) -> list[ev.WorkloadEvent]:
    """What is new in the engine's view of a record's live attempt."""
    key, number, found = record.key, attempt.number, list[ev.WorkloadEvent]()
    if view.phase in (Phase.RUNNING, Phase.READY) and attempt.started_s is None:
        found.append(ev.Started(key=key, number=number))
    if view.phase is Phase.READY and attempt.ready_s is None:
        found.append(ev.Ready(key=key, number=number))
    said = view.progress
    step = said.checkpoint_step if said else None
    if said and step is not None and (attempt.checkpoint_step is None or step > attempt.checkpoint_step):
        found.append(ev.Checkpointed(key=key, number=number, step=step, saved_s=said.checkpoint_s))
    if view.phase is Phase.ENDED:
        cause = _cause(attempt, view)
        found.append(
            ev.Ended(key=key, number=number, cause=cause, exit_code=view.exit_code, detail=view.detail)
        )
    return found


def _cause(attempt: Attempt, view: AttemptView) -> EndCause:
    """What the log calls the end: work that finished while it was being stopped has finished."""
    if view.cause is EndCause.SUCCEEDED or attempt.stop_cause is None:
        return view.cause or EndCause.FAILED
    return attempt.stop_cause


def carried_out(state: State, decision: Decision, now_s: float) -> State:
    """A copy of the state in which the decision's actions have begun. O(workloads)."""
    after = state.copy()
    for event in events_of(decision):
        entry = ev.Entry(seq=0, at_s=now_s, actor="", event=event)
        after.apply([apply(after.records[event.key], entry)])
    return after
