"""`apply_to_service`: the only way a service's own record changes. Pure, O(revisions kept)."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from suanli.domain import events as ev
from suanli.domain.errors import IllegalTransition
from suanli.domain.service import REVISIONS_KEPT, Phase, Revision, ServiceRecord
from suanli.domain.workload import Service


def apply_to_service(service: ServiceRecord | None, entry: ev.Entry) -> ServiceRecord:
    """The service after one event of its own. Raises IllegalTransition where that makes no sense now."""
    event = entry.event
    if isinstance(event, ev.Revised):
        return _revised(service, event, entry)
    if service is None:
        raise IllegalTransition(f"{getattr(event, 'service', '?')}: there is no such service")
    handler = _HANDLERS.get(type(event))
    if handler is None:
        raise IllegalTransition(f"{type(event).__name__} does not concern a service")
    return handler(service, event, entry.at_s)


def _revised(service: ServiceRecord | None, event: ev.Revised, entry: ev.Entry) -> ServiceRecord:
    number = service.next_number if service else 1
    if event.number != number or event.workload.service is None:
        raise IllegalTransition(f"{event.service}: revision {event.number} does not follow {number - 1}")
    revision = Revision(
        number=number, workload=event.workload, made_s=entry.at_s, actor=entry.actor, origin=event.origin
    )
    if service is None or service.phase is Phase.ENDED:
        replicas = event.workload.service.replicas_min
        before, settled = (service.revisions if service else ()), 0
    else:
        replicas = within(event.workload.service, service.replicas)
        before, settled = service.revisions, service.settled
    return ServiceRecord(
        name=event.service,
        revisions=_kept((*before, revision), settled),
        target=number,
        settled=settled,
        phase=Phase.PAUSED if service and service.phase is Phase.PAUSED else Phase.UPDATING,
        step_s=entry.at_s,
        shares={settled: 1.0} if settled and event.workload.service.update.strategy != "rolling" else {},
        replicas=replicas,
    )


def within(service: Service, replicas: int) -> int:
    """As many as are wanted, but no fewer and no more than declared."""
    most = service.replicas_max if service.replicas_max is not None else replicas
    return min(max(replicas, service.replicas_min), max(most, service.replicas_min))


def _kept(revisions: tuple[Revision, ...], settled: int) -> tuple[Revision, ...]:
    """The latest, and the one that serves."""
    old, latest = revisions[:-REVISIONS_KEPT], revisions[-REVISIONS_KEPT:]
    return (*(each for each in old if each.number == settled), *latest)


def _shifted(service: ServiceRecord, event: ev.Shifted, at_s: float) -> ServiceRecord:
    _require(service, event, Phase.UPDATING)
    return msgspec.structs.replace(service, step=event.step, step_s=at_s, shares=event.shares)


def _settled(service: ServiceRecord, event: ev.Settled, at_s: float) -> ServiceRecord:
    _require(service, event, Phase.UPDATING)
    if event.number != service.target:
        raise IllegalTransition(f"{service.name}: revision {event.number} is not the one that takes over")
    return msgspec.structs.replace(
        service, settled=event.number, phase=Phase.STEADY, step=0, step_s=at_s, shares={}
    )


def _taken_back(service: ServiceRecord, event: ev.TakenBack, at_s: float) -> ServiceRecord:
    _require(service, event, Phase.UPDATING)
    if event.number != service.target or service.revision(event.to) is None:
        raise IllegalTransition(f"{service.name}: revision {event.number} cannot be taken back to {event.to}")
    revisions = tuple(
        msgspec.structs.replace(each, taken_back=event.why) if each.number == event.number else each
        for each in service.revisions
    )
    return msgspec.structs.replace(
        service,
        revisions=revisions,
        target=event.to,
        phase=Phase.UPDATING,
        step=0,
        step_s=at_s,
        shares={event.to: 1.0},
    )


def _scaled(service: ServiceRecord, event: ev.Scaled, at_s: float) -> ServiceRecord:
    _require(service, event, Phase.STEADY, Phase.UPDATING)
    return msgspec.structs.replace(service, replicas=event.replicas, why=event.why)


def _paused(service: ServiceRecord, event: ev.ServicePaused, at_s: float) -> ServiceRecord:
    _require(service, event, Phase.STEADY, Phase.UPDATING)
    return msgspec.structs.replace(service, phase=Phase.PAUSED, step_s=at_s)


def _resumed(service: ServiceRecord, event: ev.ServiceResumed, at_s: float) -> ServiceRecord:
    _require(service, event, Phase.PAUSED, Phase.ENDED)
    return msgspec.structs.replace(
        service,
        phase=Phase.STEADY if service.settled == service.target else Phase.UPDATING,
        step=0,
        step_s=at_s,
        shares={},
        replicas=max(service.replicas, service.service.replicas_min),
    )


def _ended(service: ServiceRecord, event: ev.ServiceEnded, at_s: float) -> ServiceRecord:
    _require(service, event, Phase.STEADY, Phase.UPDATING, Phase.PAUSED)
    return msgspec.structs.replace(service, phase=Phase.ENDED, step_s=at_s)


def _require(service: ServiceRecord, event: ev.ServiceEvent, *phases: Phase) -> None:
    if service.phase not in phases:
        raise IllegalTransition(
            f"{service.name} is {service.phase.value}: {type(event).__name__} does not apply"
        )


_HANDLERS: Mapping[type, Callable[[ServiceRecord, Any, float], ServiceRecord]] = {
    ev.Shifted: _shifted,
    ev.Settled: _settled,
    ev.TakenBack: _taken_back,
    ev.Scaled: _scaled,
    ev.ServicePaused: _paused,
    ev.ServiceResumed: _resumed,
    ev.ServiceEnded: _ended,
}
