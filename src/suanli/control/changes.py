"""What an apply changes: what is new, what is there already, and what must not be."""

from collections.abc import Mapping, Sequence

from suanli.control import services
from suanli.domain import events as ev
from suanli.domain.errors import Conflict, SpecError
from suanli.domain.record import Status
from suanli.domain.workload import Workload
from suanli.domain.world import World


def split(world: World, asked: Sequence[Workload]) -> tuple[tuple[Workload, ...], tuple[str, ...]]:
    """Workloads to submit, and names of those that are there as declared (waiting, running or succeeded).

    Raises Conflict where one that is no service is still there with another declaration.
    """
    fresh: list[Workload] = []
    unchanged: list[str] = []
    for workload in asked:
        there = services.serves_already if workload.service is not None else _is_there
        if there(world, workload):
            unchanged.append(workload.name)
        else:
            fresh.append(workload)
    return tuple(fresh), tuple(unchanged)


def submissions(world: World, fresh: Sequence[Workload]) -> list[ev.Event]:
    """What submits them."""
    events: list[ev.Event] = []
    for workload in fresh:
        if workload.service is not None:
            events += services.revisions(world, workload)
        else:
            events.append(ev.Submitted(key=workload.name, workload=workload))
    return events


def refuse_cycles(world: World, fresh: Sequence[Workload]) -> None:
    """Raises SpecError naming a cycle that the new workloads close with those already accepted."""
    edges: dict[str, Sequence[str]] = {r.name: r.workload.depends_on for r in world.records.values()}
    edges.update({w.name: w.depends_on for w in fresh})
    for workload in fresh:
        cycle = _path_back_to(workload.name, edges)
        if cycle:
            raise SpecError(
                f"{' waits for '.join(cycle)}: none of them could ever start.",
                remedy="Remove one `after` or `model.from` of the cycle.",
                code="SL-SPEC-CYCLE",
            )


def _is_there(world: World, workload: Workload) -> bool:
    record = world.records.get(workload.name)
    if record is None or record.status in (Status.FAILED, Status.STOPPED):
        return False
    if record.workload != workload and not record.status.is_final:
        raise Conflict(
            f"{workload.name} is {record.status.value} with another declaration.",
            remedy=f"Stop it first (`suanli stop {workload.name}`), or give the new one another name.",
            evidence={"changed": _changed_fields(record.workload, workload)},
            code="SL-APPLY-CHANGED",
        )
    return record.workload == workload


def _changed_fields(before: Workload, after: Workload) -> list[str]:
    return [name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)]


def _path_back_to(start: str, edges: Mapping[str, Sequence[str]]) -> list[str]:
    """A path from `start` along `edges` back to itself, or empty. O(edges)."""
    paths = [[start, name] for name in edges.get(start, ())]
    visited: set[str] = set()
    while paths:
        path = paths.pop()
        if path[-1] == start:
            return path
        if path[-1] not in visited:
            visited.add(path[-1])
            paths += [[*path, name] for name in edges.get(path[-1], ())]
    return []
