"""Workloads as the node table understands them, and the search for room."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from suanli.domain.record import Placement, Record
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.policies.parts import Policy
from suanli.policies.table import Ask, Indices, NodeTable, amounts_of

Shape = tuple[Demand, int, tuple[int, int] | None, tuple[tuple[str, str], ...]]


class Wants(msgspec.Struct, frozen=True, eq=False):
    """What one shape of workload asks: alternatives of one node's share, and numbers of nodes, best first.

    `caps` is the most nodes for each alternative, where a quota allows fewer than the sizes ask for. One shape under
    the same caps is one value within a step, so it serves as a key.
    """

    asks: tuple[Ask, ...]
    sizes: Sequence[int]
    fewest: int
    most: int
    caps: tuple[int, ...]

    def alternatives(self) -> Iterator[tuple[Ask, int]]:
        """(ask, most nodes) of what its quota allows it at all."""
        fewest = self.fewest
        return ((ask, cap) for ask, cap in zip(self.asks, self.caps, strict=True) if cap >= fewest)


class Shapes:
    """`Wants` by shape, so that ten thousand alike workloads are translated once. Lives for one table."""

    def __init__(self, table: NodeTable, policy: Policy) -> None:
        self._table = table
        self._policy = policy
        self._known: dict[Shape, Wants] = {}
        self._capped: dict[tuple[Wants, tuple[int, ...]], Wants] = {}

    def of(self, record: Record) -> Wants:
        w = record.workload
        labels = tuple(sorted(w.node_labels.items())) if w.node_labels else ()
        shape = (w.demand, w.nodes, w.elastic_nodes, labels)
        wants = self._known.get(shape)
        if wants is None:
            alternatives: tuple[AcceleratorDemand | None, ...] = w.demand.accelerators or (None,)
            asks = tuple(self._table.ask(w.demand, a, w.node_labels) for a in alternatives)
            sizes = self._policy.allocate(record)
            fewest, most = min(sizes[0], sizes[-1]), max(sizes[0], sizes[-1])
            wants = self._known[shape] = Wants(asks, sizes, fewest, most, (most,) * len(asks))
        return wants

    def capped(self, wants: Wants, caps: tuple[int, ...]) -> Wants:
        """The same with at most so many nodes for each alternative."""
        caps = tuple(min(cap, wants.most) for cap in caps)
        if caps == wants.caps:
            return wants
        known = self._capped.get((wants, caps))
        if known is None:
            known = self._capped[wants, caps] = msgspec.structs.replace(wants, caps=caps)
        return known


def find_room(table: NodeTable, wants: Wants, policy: Policy) -> tuple[Placement, ...] | None:
    """Placements for the whole gang on distinct nodes, or None: more nodes before another accelerator.

    O(alternatives · N).
    """
    best: tuple[int, Ask, Indices] | None = None
    for ask, cap in wants.alternatives():
        if not table.may_fit(ask):
            continue
        candidates = np.flatnonzero(table.fitting(ask))
        rank = _first_within(wants, min(len(candidates), cap))
        if rank is not None and (best is None or rank < best[0]):
            best = rank, ask, candidates
        if rank == 0:
            break
    if best is None:
        return None
    rank, ask, candidates = best
    chosen = policy.place(table, ask, candidates, wants.sizes[rank])
    return tuple(table.placement(int(i), ask) for i in chosen)


def are_met(table: NodeTable, wants: Wants, placements: Sequence[Placement]) -> bool:
    """Whether these placements are what is asked, on nodes that may be asked for it."""
    if len(placements) not in wants.sizes:
        return False
    return any(all(_is_met(table, ask, placement) for placement in placements) for ask in wants.asks)


def _is_met(table: NodeTable, ask: Ask, placement: Placement) -> bool:
    i, share = table.index.get(placement.node), placement.share
    if i is None or share.accelerator != ask.accelerator or share.accelerator_count != ask.count:
        return False
    return amounts_of(share) == ask.amounts and bool(table.able(ask)[i])


def _first_within(wants: Wants, room: int) -> int | None:
    """Position of the first size that is no more than `room`."""
    if room < wants.fewest:
        return None
    return next((i for i, size in enumerate(wants.sizes) if size <= room), None)
