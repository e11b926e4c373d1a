"""What users may ask of services as a whole: another revision, fewer or more replicas, a pause, and back again."""

from collections.abc import Sequence

import msgspec

from suanli.control.controller import Controller
from suanli.domain import events as ev
from suanli.domain.errors import Conflict, NotFound, UsageError
from suanli.domain.record import Record
from suanli.domain.service import Phase, Revision, ServiceRecord
from suanli.domain.workload import Workload
from suanli.domain.world import World
from suanli.kernel.services import beginning, replicas_of


def service_of(world: World, name: str) -> ServiceRecord:
    """Raises NotFound with the names that there are."""
    service = world.services.get(name)
    if service is None:
        raise NotFound(
            f"There is no service {name!r}.",
            remedy="See `suanli services`.",
            evidence={"known": sorted(world.services)[:20]},
        )
    return service


def serves_already(world: World, workload: Workload) -> bool:
    """Whether it serves as declared, or is about to."""
    service = world.services.get(workload.name)
    if service is None or service.phase is Phase.ENDED or service.workload != workload:
        return False
    there = [r for r in replicas_of(workload.name, world.records) if r.revision == service.target]
    return not service.replicas or not there or any(not r.status.is_final for r in there)


def revisions(world: World, workload: Workload) -> list[ev.Event]:
    """What makes it the service's next revision; replicas of the first one come along, later ones take over."""
    service = world.services.get(workload.name)
    number = service.next_number if service else 1
    revised: list[ev.Event] = [ev.Revised(service=workload.name, number=number, workload=workload)]
    if service is not None and service.phase is not Phase.ENDED:
        return revised
    return revised + [
        ev.Submitted(key=key, workload=workload, replica=replica, revision=number)
        for key, replica in beginning(workload, world.records)
    ]


def end(world: World, name: str, records: Sequence[Record]) -> list[ev.Event]:
    """What ends a service whose name was asked for, beside ending its replicas."""
    service = world.services.get(name)
    ends = service is not None and service.phase is not Phase.ENDED and all(r.key != name for r in records)
    return [ev.ServiceEnded(service=name)] if ends else []


def begin_again(world: World, name: str) -> list[ev.Event]:
    """What lets an ended service serve again, empty where it has not ended."""
    service = world.services.get(name)
    return [ev.ServiceResumed(service=name)] if service and service.phase is Phase.ENDED else []


def rollback(controller: Controller, name: str, *, actor: str, to: int | None = None) -> int:
    """Serve as an earlier revision did; the number of the one that serves then.

    While an update goes on and no other revision is named, it is taken back. Raises NotFound, Conflict.
    """
    with controller.mutex:
        controller.refresh()
        service = service_of(controller.world, name)
        _require(service, Phase.STEADY, Phase.UPDATING)
        if service.settled and service.target != service.settled and to in (None, service.settled):
            why = f"asked by {actor}"
            back = ev.TakenBack(service=name, number=service.target, to=service.settled, why=why)
            controller.tell([back], actor)
            return service.settled
        former = _former(service, to)
        controller.tell([_revised_to(service, former)], actor)
        return service.next_number


def scale(controller: Controller, name: str, replicas: int, *, actor: str) -> None:
    """Want so many replicas. Raises NotFound, Conflict, UsageError outside of what is declared."""
    with controller.mutex:
        controller.refresh()
        service = service_of(controller.world, name)
        _require(service, Phase.STEADY, Phase.UPDATING)
        fewest, most = service.service.replicas_min, service.service.replicas_max
        if replicas < fewest or (most is not None and replicas > most):
            range_ = f"{fewest}..{'' if most is None else most}"
            raise UsageError(
                f"{name} is declared with `replicas: {range_}`; {replicas} lies outside.",
                remedy="Apply it with another range, or choose a number within.",
                evidence={"replicas": replicas, "declared": range_},
            )
        if replicas != service.replicas:
            controller.tell([ev.Scaled(service=name, replicas=replicas, why=f"asked by {actor}")], actor)


def pause(controller: Controller, name: str, *, actor: str) -> None:
    """End its replicas until it is resumed. Raises NotFound, Conflict."""
    with controller.mutex:
        controller.refresh()
        _require(service_of(controller.world, name), Phase.STEADY, Phase.UPDATING)
        controller.tell([ev.ServicePaused(service=name)], actor)


def resume(controller: Controller, name: str, *, actor: str) -> None:
    """Serve again after a pause. Raises NotFound, Conflict."""
    with controller.mutex:
        controller.refresh()
        _require(service_of(controller.world, name), Phase.PAUSED)
        controller.tell([ev.ServiceResumed(service=name)], actor)


def _former(service: ServiceRecord, to: int | None) -> Revision:
    """The revision asked for, by default the latest good one before the one that serves."""
    if to is not None:
        found = service.revision(to)
        if found is None or to == service.target:
            kept = [each.number for each in service.revisions if each.number != service.target]
            raise NotFound(
                f"{service.name} cannot be rolled back to revision {to}.",
                remedy=f"See `suanli services {service.name}`.",
                evidence={"serves": service.target, "kept": kept},
            )
        return found
    good = [each for each in service.revisions if each.number < service.target and not each.taken_back]
    serving = service.workload
    other = [each for each in good if _as_declared(each.workload) != _as_declared(serving)]
    if not other:
        raise Conflict(
            f"{service.name} has no earlier revision to go back to.",
            remedy=f"See `suanli services {service.name}`.",
            evidence={"serves": service.target},
            code="SL-STATE",
        )
    return other[-1]


def _as_declared(workload: Workload) -> Workload:
    """But for how it takes over."""
    return _with_strategy(workload, "")


def _revised_to(service: ServiceRecord, former: Revision) -> ev.Revised:
    """What served before needs no canary."""
    return ev.Revised(
        service=service.name,
        number=service.next_number,
        workload=_with_strategy(former.workload, "rolling"),
        origin=f"rollback to {former.number}",
    )


def _with_strategy(workload: Workload, strategy: str) -> Workload:
    assert workload.service is not None
    update = msgspec.structs.replace(workload.service.update, strategy=strategy)
    return msgspec.structs.replace(workload, service=msgspec.structs.replace(workload.service, update=update))


def _require(service: ServiceRecord, *phases: Phase) -> None:
    if service.phase not in phases:
        raise Conflict(
            f"{service.name} is {service.phase.value}.",
            remedy=f"See `suanli services {service.name}`.",
            code="SL-STATE",
        )
