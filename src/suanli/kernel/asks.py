"""Workloads as the node table understands them, and the search for room."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from suanli.domain.record import Placement, Record
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Dataset
from suanli.policies.parts import Ground, Policy, Version
from suanli.policies.place.ratings import Ratings, lowest
from suanli.policies.place.topology import RATINGS_MAX, seconds_to_bring
from suanli.policies.table import Ask, Bools, Floats, NodeTable, amounts_of

Shape = tuple[
    Demand, int, tuple[int, int] | None, tuple[tuple[str, str], ...], tuple[Dataset, ...], Version | None
]

BARE = Ground()

FETCH = 1e-7
"""Added to the rating of a node that would have to fetch the model's files: it decides between nodes that are equal."""

MEMO_NODES_MAX = 2**21
"""Ratings kept for one table, of all shapes: beyond, the oldest shape is rated anew when it comes again."""


class Wants(msgspec.Struct, frozen=True, eq=False):
    """What one shape of workload asks: alternatives of one node's share, and numbers of nodes, best first.

    `caps` is the most nodes for each alternative, where a quota allows fewer than the sizes ask for. One shape under
    the same caps is one value within a step, so it serves as a key. `indifferent`: the placement may choose among the
    alternatives; else the first that has room is taken. `data` is what it reads, where that counts, `model` what it
    has fetched.
    """

    asks: tuple[Ask, ...]
    sizes: Sequence[int]
    fewest: int
    most: int
    caps: tuple[int, ...]
    indifferent: bool = False
    data: tuple[Dataset, ...] = ()
    model: Version | None = None

    def alternatives(self) -> Iterator[tuple[Ask, int]]:
        """(ask, most nodes) of what its quota allows it at all."""
        fewest = self.fewest
        return ((ask, cap) for ask, cap in zip(self.asks, self.caps, strict=True) if cap >= fewest)


SHAPES_MAX = 2**12
"""Shapes that are remembered from one step to the next."""


class Shapes:
    """`Wants` by shape, so that ten thousand alike workloads are translated once. Lives for one table and policy."""

    def __init__(self, table: NodeTable, policy: Policy) -> None:
        self._table = table
        self._policy = policy
        self._known: dict[Shape, Wants] = {}
        self._same: dict[tuple[int, int], tuple[Demand, Wants]] = {}
        self._capped: dict[tuple[Wants, tuple[int, ...]], Wants] = {}

    def are_for(self, table: NodeTable, policy: Policy) -> bool:
        """Whether they may go on to be used in another step."""
        return self._table is table and self._policy is policy and len(self._same) < SHAPES_MAX

    def of(self, record: Record) -> Wants:
        w = record.workload
        if w.elastic_nodes or w.node_labels or w.data or w.model:
            return self._of(record)
        # what comes from one trace shares its demands, and identity is found faster than equality
        key = id(w.demand), w.nodes
        known = self._same.get(key)
        if known is None:
            known = self._same[key] = w.demand, self._of(record)
        return known[1]

    def _of(self, record: Record) -> Wants:
        w = record.workload
        labels = tuple(sorted(w.node_labels.items())) if w.node_labels else ()
        data = w.data if self._policy.place.near_data else ()
        model = w.model.version if w.model else None
        shape = (w.demand, w.nodes, w.elastic_nodes, labels, data, model)
        wants = self._known.get(shape)
        if wants is None:
            alternatives: tuple[AcceleratorDemand | None, ...] = w.demand.accelerators or (None,)
            asks = tuple(self._table.ask(w.demand, a, w.node_labels) for a in alternatives)
            sizes = self._policy.allocate(record)
            fewest, most = min(sizes[0], sizes[-1]), max(sizes[0], sizes[-1])
            indifferent = w.demand.indifferent or self._policy.agnostic
            wants = self._known[shape] = Wants(
                asks, sizes, fewest, most, (most,) * len(asks), indifferent, data, model
            )
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


def find_room(
    table: NodeTable, wants: Wants, policy: Policy, ground: Ground = BARE
) -> tuple[Placement, ...] | None:
    """Placements for the whole gang on distinct nodes, or None: more nodes before another accelerator.

    O(alternatives · N) for a shape that is new to the table, then O(N) and what the policy's rule costs on nodes that
    have changed since.
    """
    candidates = table.memo.get(wants)
    if candidates is None or not candidates.are_for(table, policy, ground):
        if not any(table.may_fit(ask, wants.fewest) for ask, _ in wants.alternatives()):
            return None
        while len(table.memo) * len(table.nodes) >= MEMO_NODES_MAX:
            del table.memo[next(iter(table.memo))]
        candidates = table.memo[wants] = Candidates(table, wants, policy, ground)
    return candidates.find()


def room_among(
    table: NodeTable, ask: Ask, nodes: Bools, policy: Policy, ground: Ground = BARE
) -> Placement | None:
    """Room on the best of these nodes, bool[N]. O(N)."""
    handicap = np.where(nodes, table.handicap(ask.labels), np.inf)
    mix = (policy.mix or ground.mix) if policy.place.knows_mix else None
    ratings = Ratings(table, policy.place, [ask], handicap, mix)
    i = ratings.best()
    return ratings.placement(i) if i >= 0 else None


def ask_held(table: NodeTable, record: Record) -> Ask:
    """What it holds on its first node, as if it asked for just that."""
    assert record.attempt is not None
    share = record.attempt.placements[0].share
    model = table.models.index(share.accelerator) if share.accelerator else -1
    labels = tuple(sorted(record.workload.node_labels.items()))
    return Ask(amounts_of(share), model, share.accelerator_count, share.accelerator, labels)


class Candidates:
    """The nodes of one table for one shape, rated alternative by alternative."""

    def __init__(self, table: NodeTable, wants: Wants, policy: Policy, ground: Ground) -> None:
        self._table, self._usable, self._policy, self._ground = table, table.usable, policy, ground
        self._place = policy.place
        self._rng = ground.rng if policy.place.at_random or policy.random_ties else None
        self._sizes, self._fewest, self._is_one = wants.sizes, wants.fewest, wants.most == 1
        allowed = list(wants.alternatives())
        together = wants.indifferent and self._is_one and len(allowed) > 1
        self._groups = (
            [([ask for ask, _ in allowed], 1)] if together else [([ask], cap) for ask, cap in allowed]
        )
        self._rated: list[Ratings] = []
        self._handicap = table.handicap(wants.asks[0].labels)
        if wants.data:
            brings_s = seconds_to_bring(table, wants.data, ground.links)
            self._handicap = self._handicap + RATINGS_MAX * brings_s
        if there := ground.models_at.get(wants.model) if wants.model else None:
            self._handicap = self._handicap + _fetches(table, there)

    def are_for(self, table: NodeTable, policy: Policy, ground: Ground) -> bool:
        return self._usable is table.usable and self._policy is policy and self._ground is ground

    def find(self) -> tuple[Placement, ...] | None:
        """The whole gang, or None."""
        if not self._is_one:
            return self._find_gang()
        for g in range(len(self._groups)):
            ratings = self._ratings(g)
            i = ratings.best()
            if i >= 0:
                return (self._drawn(ratings, i, self._rng) if self._rng else ratings.placement(i),)
        return None

    def _drawn(self, ratings: Ratings, best: int, rng: np.random.Generator) -> Placement:
        """On any of the best, or of all with room; and then on any device that a share fits on."""
        return ratings.placement(ratings.drawn(best, rng), rng if self._place.at_random else None)

    def _find_gang(self) -> tuple[Placement, ...] | None:
        """More nodes go before a more wanted alternative."""
        best: tuple[int, int] | None = None
        for g, (_, cap) in enumerate(self._groups):
            room = int(np.isfinite(self._ratings(g).values()).sum())
            rank = _first_within(self._sizes, self._fewest, min(room, cap))
            if rank is not None and (best is None or rank < best[0]):
                best = rank, g
            if rank == 0:
                break
        if best is None:
            return None
        ratings, nodes = self._ratings(best[1]), self._sizes[best[0]]
        choose, values = self._place.gang, ratings.values()
        if self._place.at_random and self._rng:
            chosen = self._rng.choice(np.flatnonzero(np.isfinite(values)), nodes, replace=False)
            return tuple(ratings.placement(i, self._rng) for i in chosen.tolist())
        chosen = choose(self._table, values, nodes) if choose and nodes > 1 else lowest(values, nodes)
        return tuple(ratings.placement(i) for i in chosen.tolist())

    def _ratings(self, g: int) -> Ratings:
        while len(self._rated) <= g:
            asks, _ = self._groups[len(self._rated)]
            expected = self._policy.mix or self._ground.mix
            mix = expected if self._place.knows_mix else None
            self._rated.append(Ratings(self._table, self._place, asks, self._handicap, mix))
        return self._rated[g]


def _fetches(table: NodeTable, there: frozenset[str]) -> Floats:
    """float[N]: 0 where a node has the files, else FETCH."""
    return np.array([0.0 if name in there else FETCH for name in table.names])


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


def _first_within(sizes: Sequence[int], fewest: int, room: int) -> int | None:
    """Position of the first size that is no more than `room`."""
    if room < fewest:
        return None
    return next((i for i, size in enumerate(sizes) if size <= room), None)
