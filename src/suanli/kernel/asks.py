"""Workloads as the node table understands them, and the search for room."""

from collections.abc import Iterator

import msgspec
import numpy as np

from suanli.domain.record import Placement, Record
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.policies.parts import Policy
from suanli.policies.table import Ask, NodeTable

Shape = tuple[Demand, int, tuple[int, int] | None, tuple[tuple[str, str], ...]]


class Wants(msgspec.Struct, frozen=True, eq=False):
    """What one shape of workload asks: alternatives of one node's share, and numbers of nodes, best first."""

    shape: Shape
    asks: tuple[Ask, ...]
    sizes: tuple[int, ...]

    def options(self) -> Iterator[tuple[Ask, int]]:
        """All (ask, nodes), the most wanted first: more nodes before another accelerator."""
        return ((ask, size) for size in self.sizes for ask in self.asks)


class Shapes:
    """`Wants` by shape, so that ten thousand alike workloads are translated once. Lives for one table."""

    def __init__(self, table: NodeTable, policy: Policy) -> None:
        self._table = table
        self._policy = policy
        self._known: dict[Shape, Wants] = {}

    def of(self, record: Record) -> Wants:
        w = record.workload
        shape = (w.demand, w.nodes, w.elastic_nodes, tuple(sorted(w.node_labels.items())))
        wants = self._known.get(shape)
        if wants is None:
            alternatives: tuple[AcceleratorDemand | None, ...] = w.demand.accelerators or (None,)
            asks = tuple(self._table.ask(w.demand, a, w.node_labels) for a in alternatives)
            wants = self._known[shape] = Wants(shape, asks, self._policy.allocate(record))
        return wants


def find_room(table: NodeTable, wants: Wants, policy: Policy) -> tuple[Placement, ...] | None:
    """Placements for the whole gang on distinct nodes, or None. O(options · N)."""
    for ask, size in wants.options():
        if not table.may_fit(ask):
            continue
        candidates = np.flatnonzero(table.fitting(ask))
        if len(candidates) >= size:
            chosen = policy.place(table, ask, candidates, size)
            return tuple(table.placement(int(i), ask) for i in chosen)
    return None
