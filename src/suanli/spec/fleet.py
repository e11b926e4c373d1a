"""The fleet that a document of the right shape declares, and what only its values together can get wrong."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from suanli.domain.fleet import Fleet, Link, Node, NodeScaling, Storage, Team
from suanli.spec import quantities
from suanli.spec.fleet_shape import (
    COUNT_MAX,
    FleetShape,
    LinkShape,
    NodeShape,
    ScalingShape,
    TeamShape,
    TemplateShape,
)
from suanli.spec.problems import nearest, shown
from suanli.spec.scope import KnownAccelerator, OwnAccelerator, Path, Scope

DEVICES_MAX = 1024


def own_accelerators(shape: FleetShape) -> tuple[OwnAccelerator, ...]:
    """What the fleet adds to the catalogue; needed before anything else of it can be read."""
    return tuple(
        OwnAccelerator(
            name=own.name,
            memory_bytes=own.memory,
            vendor=own.vendor,
            aliases=tuple(own.aliases),
            tdp_w=own.tdp,
            price_per_hour_usd=own.price[0] if own.price else None,
        )
        for own in shape.accelerators
    )


def fleet_of(shape: FleetShape, scope: Scope) -> Fleet:
    """The fleet of a document of the right shape; whatever else is wrong with it goes to the scope."""
    nodes = _nodes(shape.nodes, scope)
    scaling = _scaling(shape.scaling, scope) if shape.scaling else None
    if not nodes and scaling is None:
        scope.refuse(("nodes",), "a fleet needs nodes, or `scaling` to get some")
    places = places_of((*nodes, scaling.template) if scaling else nodes)
    return Fleet(
        name=shape.name,
        nodes=nodes,
        links=tuple(_link(link, places, ("links", index), scope) for index, link in enumerate(shape.links)),
        teams=tuple(_team(name, team, scope) for name, team in shape.teams.items()),
        scaling=scaling,
        migrate=shape.migrate,
    )


def _nodes(shapes: Sequence[NodeShape], scope: Scope) -> tuple[Node, ...]:
    if sum(shape.count for shape in shapes) > COUNT_MAX:
        scope.refuse(("nodes",), f"a fleet has at most {COUNT_MAX:,} nodes")
        return ()
    nodes: dict[str, Node] = {}
    first: dict[str, int] = {}
    for index, shape in enumerate(shapes):
        node = _node(shape, ("nodes", index), scope)
        for name in _names(shape):
            if name in nodes:
                line = scope.document.mark_of(("nodes", first[name])).line
                scope.refuse(
                    ("nodes", index, "name"),
                    f"there are two nodes {name!r}, the other on line {line}",
                    "Rename one.",
                )
                break
            nodes[name], first[name] = _named(node, name), index
    return tuple(nodes.values())


def _names(shape: NodeShape) -> list[str]:
    return [shape.name] if shape.count == 1 else [f"{shape.name}-{number}" for number in range(shape.count)]


def _named(node: Node, name: str) -> Node:
    return node if node.name == name else msgspec.structs.replace(node, name=name)


def _node(shape: NodeShape | TemplateShape, path: Path, scope: Scope) -> Node:
    devices = _devices(shape, path, scope)
    return Node(
        name=shape.name,
        cpus=shape.cpus,
        memory_bytes=shape.memory,
        accelerators=tuple(device.name for device in devices),
        disk_bytes=sum(disk.capacity for disk in shape.storage) if shape.disk is None else shape.disk,
        storage=tuple(
            Storage(
                name=disk.name,
                capacity_bytes=disk.capacity,
                spins=disk.spins,
                read_bytes_per_s=None if disk.read is None else disk.read / 8,
            )
            for disk in shape.storage
        ),
        network_bps=shape.network,
        site=shape.site,
        zone=shape.zone,
        rack=shape.rack,
        labels=dict(shape.labels),
        price_per_hour=_price(shape, devices, path, scope),
        idle_power_w=shape.power.idle if shape.power else None,
        max_power_w=_max_power_w(shape, len(devices)),
    )


def _devices(shape: NodeShape | TemplateShape, path: Path, scope: Scope) -> tuple[KnownAccelerator, ...]:
    path = (*path, "accelerators")
    devices: list[KnownAccelerator] = []
    for index, (name, count) in enumerate(shape.accelerators):
        known = scope.accelerator(name, (*path, index))
        if count < 1 or len(devices) + count > DEVICES_MAX:
            scope.refuse(
                (*path, index), f"a node has whole accelerators, at most {DEVICES_MAX}; got {name}:{count:g}"
            )
        elif known is not None:
            devices += [known] * int(count)
    return tuple(devices)


def _price(
    shape: NodeShape | TemplateShape, devices: Sequence[KnownAccelerator], path: Path, scope: Scope
) -> float:
    """US dollars per hour of the node: as declared, else what the catalogue says of its accelerators."""
    if shape.price is not None:
        amount, per = shape.price
        return amount * len(devices) if per == "accelerator" else amount
    for name in dict.fromkeys(device.name for device in devices if device.price_per_hour_usd is None):
        scope.warn(
            (*path, "accelerators"), f"no price is known for {name}; it counts as free", "Set `price`."
        )
    return sum((device.price_per_hour_usd or 0.0 for device in devices), 0.0)


def _max_power_w(shape: NodeShape | TemplateShape, devices: int) -> float | None:
    if shape.power is None or shape.power.max is None:
        return None
    amount, per = shape.power.max
    return amount * devices if per == "accelerator" else amount


def _scaling(shape: ScalingShape, scope: Scope) -> NodeScaling:
    return NodeScaling(
        template=_node(shape.template, ("scaling", "template"), scope),
        nodes_max=shape.max,
        add_after_s=shape.add_after,
        remove_after_s=shape.remove_after,
    )


def places_of(nodes: Sequence[Node]) -> dict[str, None]:
    """Sites, zones and racks, then nodes."""
    areas = (area for node in nodes for area in (node.site, node.zone, node.rack) if area)
    return dict.fromkeys((*areas, *(node.name for node in nodes)))


def _link(shape: LinkShape, places: Mapping[str, None], path: Path, scope: Scope) -> Link:
    for index, end in enumerate(shape.between):
        if end not in places:
            near = nearest(end, places)
            remedy = f"Did you mean {near}?" if near else "Give nodes that `site`, `zone` or `rack`."
            scope.refuse((*path, "between", index), f"no node, rack, zone or site is called {end!r}", remedy)
    return Link(
        ends=(shape.between[0], shape.between[1]), bandwidth_bps=shape.bandwidth, latency_s=shape.latency
    )


QUANTITIES = {"cpus": "cpus", "memory": "memory_bytes"}


def _team(name: str, shape: TeamShape, scope: Scope) -> Team:
    quota: dict[str, float] = {}
    for resource, amount in shape.quota.items():
        path: Path = ("teams", name, "quota", resource)
        try:
            limit = float(quantities.memory(amount)) if resource == "memory" else _count(amount)
        except ValueError as error:
            scope.refuse(path, str(error))
            continue
        if resource in QUANTITIES:
            quota[QUANTITIES[resource]] = limit
        elif model := _model(resource, path, scope):
            quota[model] = limit
    return Team(name=name, weight=shape.weight, quota=quota)


def _count(amount: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", amount.strip()):
        raise ValueError(f"expected a number such as 16; got {shown(amount)}")
    return float(amount)


def _model(resource: str, path: Path, scope: Scope) -> str:
    known = scope.catalog.lookup(resource)
    if known is None:
        near = nearest(resource, QUANTITIES) or " or ".join(scope.catalog.suggest(resource))
        scope.refuse(
            path,
            f"a quota is of `cpus`, `memory` or an accelerator, and no accelerator is called {resource!r}",
            f"Did you mean {near}?" if near else "",
        )
    return known.name if known else ""
