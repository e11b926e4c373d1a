"""The numbers behind a reason: what the nodes that matter have free, who holds the rest, and who went first."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec
import numpy as np

from suanli.domain.record import Placement, Record
from suanli.policies.table import RESOURCES, TOLERANCE, Ask, Bools, Floats, Indices, NodeTable

NAMES_MAX = 5
"""Names of others given as evidence."""

Placements = tuple[Placement, ...]


class Able:
    """The nodes that could hold something if they were empty, and what the usable ones of them have free."""

    def __init__(self, table: NodeTable, able: Bools) -> None:
        self._table = table
        self._rows: Indices = np.flatnonzero(able & table.usable)
        self.unusable = [table.names[int(i)] for i in np.flatnonzero(able & ~table.usable)]
        self.usable_count = len(self._rows)
        self.count = self.usable_count + len(self.unusable)
        self._free: dict[tuple[str, bool], Free] = {}
        self._holders: dict[str, tuple[str, ...]] = {}

    def free_of(self, resource: str, ask: Ask) -> "Free":
        shared = resource == ask.accelerator and ask.count < 1
        known = self._free.get((resource, shared))
        if known is None:
            known = self._free[resource, shared] = self._count(resource, shared)
        return known

    def held_by(self, resource: str, live: Mapping[str, Record]) -> tuple[str, ...]:
        """Who holds the resource on these nodes, the largest holders first."""
        if resource not in self._holders:
            held = [(_amount(record, resource, self._names), record.key) for record in live.values()]
            largest = sorted((pair for pair in held if pair[0] > 0), key=lambda pair: (-pair[0], pair[1]))
            self._holders[resource] = tuple(key for _, key in largest[:NAMES_MAX])
        return self._holders[resource]

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self._table.names[int(i)] for i in self._rows)

    def _count(self, resource: str, shared: bool) -> "Free":
        table, rows = self._table, self._rows
        if resource in RESOURCES:
            has = np.maximum(table.free[rows, RESOURCES.index(resource)], 0.0)
            return Free(resource, np.sort(has).tolist(), round(float(has.sum()), 6))
        if resource not in table.models:
            return Free(resource, [], 0.0)
        model = table.models.index(resource)
        has = (table.largest_share if shared else table.whole_free)[rows, model].astype(np.float64)
        devices = table.device_free[rows][table.device_model[rows] == model]
        return Free(resource, np.sort(has).tolist(), round(float(np.maximum(devices, 0.0).sum()), 6))


class Free(msgspec.Struct, frozen=True):
    """What nodes have free of one resource, ascending, and its sum (devices: also parts of them)."""

    resource: str
    ascending: list[float]
    total: float

    def nodes_with(self, asked: float) -> int:
        return len(self.ascending) - bisect_left(self.ascending, asked - TOLERANCE)

    @property
    def largest(self) -> float:
        return round(self.ascending[-1], 6) if self.ascending else 0.0


class Placed:
    """What this step placed, by node, in its order."""

    def __init__(self, placed: Mapping[str, Placements], table: NodeTable) -> None:
        self._keys = list(placed)
        rows = [(k, table.index[p.node]) for k, places in enumerate(placed.values()) for p in places]
        self._turn: Indices = np.array([k for k, _ in rows], dtype=np.intp)
        self._node: Indices = np.array([i for _, i in rows], dtype=np.intp)
        self._turns: dict[bytes, list[int]] = {}

    def on(self, nodes: Bools, before: int) -> tuple[tuple[str, ...], int]:
        """The first keys, and the number, of what was placed on one of `nodes`, bool[N], among the first `before`."""
        alike = nodes.tobytes()
        turns = self._turns.get(alike)
        if turns is None:
            turns = self._turns[alike] = np.unique(self._turn[nodes[self._node]]).tolist()
        count = bisect_left(turns, before)
        return tuple(self._keys[k] for k in turns[: min(count, NAMES_MAX)]), count


def smallest_conflict(masks: Mapping[str, Bools], size: int) -> tuple[str, ...]:
    """Constraints that fewer than `size` nodes meet together, none of which can be left out. O(constraints² · N)."""
    kept = dict(masks)
    for name in masks:
        rest = [mask for other, mask in kept.items() if other != name]
        if rest and int(np.logical_and.reduce(rest).sum()) < size:
            del kept[name]
    return tuple(kept)


def asked_of(ask: Ask) -> list[tuple[str, float]]:
    """(resource, quantity) of everything asked on a node, accelerators first."""
    devices = [(ask.accelerator, ask.count)] if ask.model != -1 else []
    plain = zip(RESOURCES, ask.amounts, strict=True)
    return devices + [(name, amount) for name, amount in plain if amount > 0] or [("cpus", 0.0)]


def per_node(table: NodeTable, ask: Ask) -> Iterator[tuple[str, float, Floats]]:
    """(resource, quantity asked on a node, what each node has of it) of a model that the fleet has."""
    for resource, asked in asked_of(ask):
        plain = resource in RESOURCES
        has = table.capacity[:, RESOURCES.index(resource)] if plain else table.devices[:, ask.model]
        yield resource, asked, has.astype(np.float64)


def _amount(record: Record, resource: str, nodes: frozenset[str]) -> float:
    """What a record holds of a resource on these nodes."""
    if record.attempt is None:
        return 0.0
    shares = [placement.share for placement in record.attempt.placements if placement.node in nodes]
    if resource in RESOURCES:
        return float(sum(getattr(share, resource) for share in shares))
    return sum(share.accelerator_count for share in shares if share.accelerator == resource)
