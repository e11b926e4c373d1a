"""Nodes as users see them: what was declared, what counts, what is free, who holds the rest. Pure."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from suanli.control.snapshot import Snapshot
from suanli.domain.fleet import Node
from suanli.domain.resources import Share


class CapacityView(msgspec.Struct, frozen=True, kw_only=True):
    """Quantities in SI units; accelerators by model, parts of one as fractions."""

    cpus: float
    memory_bytes: int
    disk_bytes: int
    network_bps: float
    accelerators: dict[str, float]


class HolderView(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that holds a share of the node."""

    key: str
    attempt: int
    share: Share


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """`declared` is the fleet's word, `effective` what decisions count with: never more than was found.

    `state` is ready, down, cordoned, draining, `not seen yet`, or `not in the fleet` for one that only the engine
    knows. `load` are means over the last half minute, of what `docs/reference/metrics.md` names. Prices are US dollars.
    """

    name: str
    state: str
    declared: CapacityView | None
    effective: CapacityView
    free: CapacityView
    load: dict[str, float]
    holders: tuple[HolderView, ...]
    price_per_hour: float
    site: str
    zone: str
    rack: str
    labels: dict[str, str]
    address: str


def node_views(snapshot: Snapshot) -> tuple[NodeView, ...]:
    """The fleet's nodes in its order, then those that only the engine knows. O(nodes + placements)."""
    declared = {node.name: node for node in snapshot.world.fleet.nodes} if snapshot.world.fleet else {}
    holders = _holders(snapshot)
    in_fleet = {node.name for node in snapshot.fleet.nodes}
    strangers = [view.seen for view in snapshot.seen.nodes if view.name not in in_fleet]
    addresses = {view.name: view.address for view in snapshot.seen.nodes}

    def view(node: Node, state: str) -> NodeView:
        held = holders.get(node.name, [])
        said = declared.get(node.name)
        return NodeView(
            name=node.name,
            state=state,
            declared=_capacity(said, ()) if said else None,
            effective=_capacity(node, ()),
            free=_capacity(node, [holder.share for holder in held]),
            load=dict(snapshot.load.get(node.name, {})),
            holders=tuple(held),
            price_per_hour=node.price_per_hour,
            site=node.site,
            zone=node.zone,
            rack=node.rack,
            labels=node.labels,
            address=addresses.get(node.name, ""),
        )

    known = [view(node, snapshot.unusable.get(node.name, "ready")) for node in snapshot.fleet.nodes]
    return (*known, *(view(node, "not in the fleet") for node in strangers))


def _holders(snapshot: Snapshot) -> dict[str, list[HolderView]]:
    holders: dict[str, list[HolderView]] = {}
    for record in snapshot.world.records.values():
        if record.attempt is not None:
            for placement in record.attempt.placements:
                holder = HolderView(key=record.key, attempt=record.attempt.number, share=placement.share)
                holders.setdefault(placement.node, []).append(holder)
    return holders


def _capacity(node: Node, held: Sequence[Share]) -> CapacityView:
    """What the node has, less what is held."""
    devices = dict[str, float](Counter(node.accelerators))
    for share in held:
        if share.accelerator:
            devices[share.accelerator] = devices.get(share.accelerator, 0.0) - share.accelerator_count
    return CapacityView(
        cpus=_left(node.cpus - sum(share.cpus for share in held)),
        memory_bytes=max(0, node.memory_bytes - sum(share.memory_bytes for share in held)),
        disk_bytes=max(0, node.disk_bytes - sum(share.disk_bytes for share in held)),
        network_bps=_left(node.network_bps - sum(share.network_bps for share in held)),
        accelerators={model: _left(count) for model, count in devices.items()},
    )


def _left(quantity: float) -> float:
    """Never below nothing, and without what adding fractions leaves behind."""
    return max(0.0, round(quantity, 6))
