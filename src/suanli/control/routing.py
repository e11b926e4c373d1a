"""Who serves what, told to gateways: from the log and what truly runs. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from suanli.control.planning import share_price
from suanli.control.reach import Reaching
from suanli.domain.fleet import Node
from suanli.domain.observation import Observation, Phase
from suanli.domain.record import Record
from suanli.domain.service import Phase as ServicePhase
from suanli.domain.service import ServiceRecord
from suanli.domain.workload import TokenPrice
from suanli.domain.world import World
from suanli.kernel.services import is_ready, shares_now
from suanli.serving.gateway.routes import Key, Price, Revision, Route, Routes, Target
from suanli.sim.usage import part, power_w


def routes_of(
    world: World, seen: Observation, keys: Sequence[Key], version: int, reaching: Reaching
) -> Routes:
    """All services that have not ended. O(replicas)."""
    ports = {(view.key, view.number): view.port for view in seen.attempts if view.phase is Phase.READY}
    addresses = reaching.addresses(seen)
    nodes = {node.name: node for node in world.fleet.nodes} if world.fleet else {}
    targets: dict[str, list[tuple[int, Target]]] = {}
    prices: dict[str, list[Price]] = {}
    for record in world.records.values() if world.services else ():
        target = _target(record, ports, addresses, reaching)
        if target is not None:
            targets.setdefault(record.name, []).append((record.revision, target))
            prices.setdefault(record.name, []).append(_price(record, nodes))
    routes = tuple(
        _route(service, targets.get(name, ()), prices.get(name, ()))
        for name, service in world.services.items()
        if service.phase is not ServicePhase.ENDED
    )
    return Routes(version=version, routes=routes, keys=tuple(keys))


def _target(
    record: Record,
    ports: Mapping[tuple[str, int], int | None],
    addresses: Mapping[str, str],
    reaching: Reaching,
) -> Target | None:
    """A replica that answers, and that nobody has asked to end."""
    attempt = record.attempt
    if attempt is None or not is_ready(record) or record.stop_requested:
        return None
    port = ports.get((record.key, attempt.number))
    if port is None:
        return None
    reach = reaching.of(record.key, attempt.number, attempt.placements[0].node, addresses)
    return Target(key=record.key, attempt=attempt.number, host=reach.host, port=port, token=reach.token)


def _route(service: ServiceRecord, targets: Sequence[tuple[int, Target]], prices: Sequence[Price]) -> Route:
    declared = service.service
    access = declared.access
    paused = service.phase is ServicePhase.PAUSED
    model = service.workload.model
    named = (model.ref, model.name) if model else ()
    return Route(
        service=service.name,
        models=tuple(dict.fromkeys((service.name, *named))),
        revisions=_revisions(service, targets),
        balance=access.balance,
        concurrency_max=access.concurrency,
        queue_max=access.queue,
        queue_s=access.queue_s,
        hold_s=0.0 if paused else access.hold_s,
        deadline_s=access.deadline_s,
        idempotent=access.idempotent,
        hedge_after_s=access.hedge_after_s,
        body_bytes_max=access.body_bytes_max,
        price=_price_of(access.price, _mean(prices)),
    )


def _price_of(declared: TokenPrice | None, second: Price) -> Price:
    """By the token where that is declared; the energy is what it is."""
    if declared is None:
        return second
    return Price(
        usd_per_token_in=declared.usd_per_million_in / 1e6,
        usd_per_token_out=declared.usd_per_million_out / 1e6,
        watts=second.watts,
    )


def _price(record: Record, nodes: Mapping[str, Node]) -> Price:
    """What a second of the replica costs and draws, by the part of its nodes that it holds."""
    assert record.attempt is not None
    held = [(nodes[p.node], p.share) for p in record.attempt.placements if p.node in nodes]
    return Price(
        usd_per_s=sum(share_price(node, share) for node, share in held) / 3600.0,
        watts=sum(part(node, share) * power_w(node)[1] for node, share in held),
    )


def _mean(prices: Sequence[Price]) -> Price:
    """Which replica will answer is not known beforehand."""
    if not prices:
        return Price()
    return Price(
        usd_per_s=sum(p.usd_per_s for p in prices) / len(prices),
        watts=sum(p.watts for p in prices) / len(prices),
    )


def _revisions(service: ServiceRecord, targets: Iterable[tuple[int, Target]]) -> tuple[Revision, ...]:
    """By the shares that are in force, among the revisions that can answer; without any, evenly by replica."""
    able: dict[int, list[Target]] = {}
    for number, target in targets:
        able.setdefault(number, []).append(target)
    shares = shares_now(service, {number: len(found) for number, found in able.items()})
    return tuple(
        Revision(number=number, share=shares[number], targets=tuple(found))
        for number, found in sorted(able.items())
    )
