"""The fleet that decisions count with: what was declared, capped by what the engine found."""

from collections.abc import Mapping, Sequence

import msgspec

from suanli.domain.fleet import Fleet, Node
from suanli.domain.observation import NodeView
from suanli.policies.scale import is_scaled


class Capacity(msgspec.Struct, frozen=True):
    """`unusable` says why a node of the fleet takes nothing new: `down`, `cordoned`, `draining`, or `not seen yet`."""

    fleet: Fleet
    unusable: dict[str, str]


def capacity(declared: Fleet | None, views: Sequence[NodeView], cordoned: Mapping[str, bool]) -> Capacity:
    """Nodes to plan with. Pure, O(nodes).

    Without a declared fleet: what the engine sees. With one: its nodes, each with no more than was found there, and
    those added by scaling, for as long as they live. A declared node that the engine does not see stays in the fleet,
    unusable, so that what waits for it says so.
    """
    seen = {view.name: view for view in views}
    if declared is None:
        fleet = Fleet(name="discovered", nodes=tuple(view.seen for view in views))
    else:
        nodes = tuple(_capped(node, seen.get(node.name)) for node in declared.nodes)
        fleet = msgspec.structs.replace(declared, nodes=nodes + _added(declared, views))
    unusable = {node.name: why for node in fleet.nodes if (why := _why_unusable(node.name, seen, cordoned))}
    return Capacity(fleet, unusable)


def _why_unusable(name: str, seen: Mapping[str, NodeView], cordoned: Mapping[str, bool]) -> str:
    view = seen.get(name)
    if view is None:
        return "not seen yet"
    if not view.alive:
        return "down"
    if name in cordoned:
        return "draining" if cordoned[name] else "cordoned"
    return ""


def _capped(node: Node, view: NodeView | None) -> Node:
    """What is declared, but never more CPU, memory or disk than there is; devices beyond those found are left out."""
    if view is None or not view.alive:
        return node
    seen = view.seen
    return msgspec.structs.replace(
        node,
        cpus=min(node.cpus, seen.cpus),
        memory_bytes=min(node.memory_bytes, seen.memory_bytes) if node.memory_bytes else seen.memory_bytes,
        disk_bytes=min(node.disk_bytes, seen.disk_bytes) if node.disk_bytes else seen.disk_bytes,
        network_bps=node.network_bps or seen.network_bps,
        accelerators=node.accelerators[: len(seen.accelerators)],
    )


def _added(declared: Fleet, views: Sequence[NodeView]) -> tuple[Node, ...]:
    if declared.scaling is None:
        return ()
    known = {node.name for node in declared.nodes}
    # Ray goes on listing nodes that were given back or lost: their names are free again
    living = [view for view in views if view.alive and is_scaled(declared.scaling, view.name)]
    template = declared.scaling.template
    return tuple(
        _capped(msgspec.structs.replace(template, name=view.name), view)
        for view in sorted(living, key=lambda view: view.name)
        if view.name not in known
    )
