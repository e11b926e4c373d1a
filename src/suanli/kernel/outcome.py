"""What becomes of a state once a decision is recorded: the events that say so, and the state after them."""

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Place, Stop
from suanli.domain.transition import apply
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


def carried_out(state: State, decision: Decision, now_s: float) -> State:
    """A copy of the state in which the decision's actions have begun. O(workloads)."""
    after = state.copy()
    for event in events_of(decision):
        entry = ev.Entry(seq=0, at_s=now_s, actor="", event=event)
        after.apply([apply(after.records[event.key], entry)])
    return after
