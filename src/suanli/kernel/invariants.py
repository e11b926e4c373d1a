"""What must hold of every decision before it is acted on. On in production."""

from suanli.domain.decision import Decision, Place, Stop
from suanli.domain.record import Record, Status
from suanli.kernel.state import State


def violations(state: State, decision: Decision) -> tuple[str, ...]:
    """Sentences, empty where all is well. O(actions · D + waiting).

    Checked: nothing is placed on what is not free, whole gangs on distinct usable nodes, attempts numbered in turn,
    only running work is stopped, nothing is both placed and waiting, and everything that waits has a reason.
    """
    found: list[str] = []
    table = state.table.copy()
    placed: set[str] = set()
    for action in decision.actions:
        if isinstance(action, Place):
            record = state.waiting.get(action.key)
            found += _placing(record, action)
            if not table.can_take(action.placements):
                found.append(f"{action.key} is placed on what is not free")
            table.take(action.placements)
            placed.add(action.key)
        elif isinstance(action, Stop) and not _may_stop(state.live.get(action.key), action.number):
            found.append(f"{action.key}: attempt {action.number} is stopped but not running")
    for key in state.waiting:
        if (key in placed) == (key in decision.waiting):
            found.append(
                f"{key} is {'both placed and waiting' if key in placed else 'waiting without a reason'}"
            )
    return tuple(found)


def _placing(record: Record | None, action: Place) -> list[str]:
    if record is None or record.status is not Status.WAITING:
        return [f"{action.key} is placed but does not wait"]
    found: list[str] = []
    nodes = [placement.node for placement in action.placements]
    fewest, most = record.workload.elastic_nodes or (record.workload.nodes, record.workload.nodes)
    if len(set(nodes)) != len(nodes) or not fewest <= len(nodes) <= most:
        found.append(f"{action.key}: {len(nodes)} placements are not a whole gang on distinct nodes")
    if action.number != record.attempts_made + 1:
        found.append(f"{action.key}: attempt {action.number} does not follow {record.attempts_made}")
    return found


def _may_stop(record: Record | None, number: int) -> bool:
    return record is not None and record.attempt is not None and record.attempt.number == number
