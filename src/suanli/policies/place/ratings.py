"""`Ratings`: how good every node is for one shape, kept up with what was taken and given since."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.policies.compiled import loop
from suanli.policies.mix import Mix
from suanli.policies.parts import Place
from suanli.policies.place import rating
from suanli.policies.place.measures import EPSILON, Expected
from suanli.policies.table import Ask, Bools, Floats, Indices, NodeTable, share_of

_ABLE, _EXPECTED, _LOST, _WEIGHTS = "able", "expected", "lost", "weights"
"""Keys of what a table remembers."""


class Kept:
    """Ratings up to `touched[:since]`, shared by all that ask for the same cores and devices on the same nodes."""

    def __init__(self, nodes: int) -> None:
        self.since = 0
        self.values: Floats = np.full(nodes, np.inf)
        self.choices = np.zeros(nodes, dtype=np.int32)


def _kept(table: NodeTable, alike: tuple[object, ...]) -> Kept:
    place, mix, *rest = alike
    key = id(place), id(mix), *rest
    known = table.memo.get(key)
    if known is None:
        # with what the key names by identity, so that it stays
        known = table.memo[key] = Kept(len(table.nodes)), place, mix
    return known[0]


class Ratings:
    """Of alternatives that differ in the accelerator alone, on one table. Making it is O(N), `best` O(N) in a loop.

    `handicap`, float[N], is added to a node's rating, inf to leave it out.
    """

    def __init__(
        self, table: NodeTable, place: Place, asks: Sequence[Ask], handicap: Floats, mix: Mix | None
    ) -> None:
        n = len(table.nodes)
        self._table = table
        self._asks = tuple(asks)
        self._shares: dict[tuple[int, tuple[int, ...]], Share] = {}
        self._amounts = asks[0].amounts
        cores = self._amounts[0]
        kept = _kept(table, (place, mix, cores, handicap.tobytes(), *((a.model, a.count) for a in asks)))
        self._kept = kept
        self._choose = loop(rating, "choose", n)
        self._equals: tuple[Callable[..., int], NDArray[np.int64]] | None = None
        self._rule = place.rule
        self._rest = (
            table.free,
            table.device_free,
            table.held,
            table.classes,
            table.class_cores,
            table.class_models,
            handicap,
            asks[0].amounts,
            np.array([ask.model for ask in asks], dtype=np.int64),
            np.array([ask.count for ask in asks], dtype=np.float64),
            able(table, tuple([ask.model for ask in asks])),
            table.largest,
            _weights(table, place),
            *expected(table, mix),
            *_lost(table, mix),
            kept.values,
            kept.choices,
        )

    def best(self) -> int:
        """The node with the lowest rating, the first of equals; -1 where none has room."""
        touched = self._table.touched
        best = self._choose(self._rule, touched, self._kept.since, *self._rest)
        self._kept.since = len(touched)
        return int(best)

    def values(self) -> Floats:
        """The ratings now, float[N]; inf where there is no room."""
        self.best()
        return np.where(self._table.has_plain(self._amounts), self._kept.values, np.inf)

    def drawn(self, best: int, rng: np.random.Generator) -> int:
        """Any node that is rated as the one that was found best. O(N)."""
        table, values = self._table, self._kept.values
        if self._equals is None:
            self._equals = loop(rating, "equals", len(values)), np.empty(len(values), dtype=np.int64)
        equals, found = self._equals
        return int(found[drawn(equals(values[best], values, table.free, self._amounts, found), rng)])

    def placement(self, i: int, rng: np.random.Generator | None = None) -> Placement:
        """The place that was rated on node `i`; with `rng` a share is put on any device that has room. O(D)."""
        a, device = divmod(int(self._kept.choices[i]), rating.DEVICES)
        ask = self._asks[a]
        if ask.model < 0:
            devices: tuple[int, ...] = ()
        elif ask.count < 1:
            devices = (device - 1 if rng is None else self._drawn(i, ask, rng),)
        else:
            devices = self._table.devices_for(i, ask)
        share = self._shares.get((a, devices))
        if share is None:
            share = self._shares[a, devices] = share_of(ask, devices)
        return Placement(self._table.names[i], share)

    def _drawn(self, i: int, ask: Ask, rng: np.random.Generator) -> int:
        roomy = self._table.roomy(i, ask)
        return roomy[drawn(len(roomy), rng)][0]


def drawn(number: int, rng: np.random.Generator) -> int:
    """Any of 0 to number - 1. Ten times as fast as drawing from an array."""
    return int(rng.random() * number)


def able(table: NodeTable, models: tuple[int, ...]) -> NDArray[np.int64]:
    """int[C, A]: by class of node the alternatives, in order, whose model it has (or that need none), ended by -1."""
    known = table.lasting.get((_ABLE, models))
    if known is None:
        has = [table.class_has(model) for model in models]
        known = np.full((len(table.class_cores), len(models)), -1, dtype=np.int64)
        for row, of_class in zip(known, np.array(has).T, strict=True):
            found = np.flatnonzero(of_class)
            row[: len(found)] = found
        table.lasting[_ABLE, models] = known
    return known


def _weights(table: NodeTable, place: Place) -> Floats:
    known = table.lasting.get(_WEIGHTS)
    if known is None or known[0] is not place:
        known = table.lasting[_WEIGHTS] = place, np.array(place.weights or ((),), dtype=np.float64)
    return known[1]


def expected(table: NodeTable, mix: Mix | None) -> tuple[Expected, float, Floats]:
    """The mix, the cores that go with a device, scarcity by model."""
    known = table.lasting.get(_EXPECTED)
    if known is None or known[0] is not mix:
        coming = mix or Mix(())
        rows = coming.rows(table.models)
        found = (
            (rows, coming.by_model(table.models)),
            _cores_per_device(table, rows),
            _scarcity(table, rows),
        )
        known = table.lasting[_EXPECTED] = mix, found
    return known[1]


def _lost(table: NodeTable, mix: Mix | None) -> tuple[Floats, Bools]:
    """Fragmentation by node and when it was found, kept up for all shapes together; and room for a mark by node."""
    known = table.memo.get(_LOST)
    if known is None or known[0] is not mix:
        n = len(table.nodes)
        known = table.memo[_LOST] = mix, (np.tile((0.0, -1.0), (n, 1)), np.zeros(n, dtype=np.bool_))
    return known[1]


def _cores_per_device(table: NodeTable, rows: Floats) -> float:
    """As work that uses devices asks for them, or where none is expected as the fleet has them."""
    devices = rows[:, 0] * rows[:, 2] * rows[:, 3]
    if devices.sum() > 0:
        cores = float((rows[:, 0] * rows[:, 1] * (rows[:, 2] > 0)).sum()) / float(devices.sum())
    else:
        cores = float(table.capacity[:, 0].sum()) / max(float(table.device_count.sum()), 1.0)
    return max(cores, EPSILON)


def _scarcity(table: NodeTable, rows: Floats) -> Floats:
    """float[M]: devices that the mix asks for of a model, each shared evenly among those that will do, by those there
    are; 1 on average over the fleet's devices."""
    there = table.devices.sum(axis=0).astype(np.float64)
    asked = rows[:, 0] * rows[:, 2] * rows[:, 3]
    will_do = rows[:, 4:]
    spread = asked / np.maximum(will_do @ there, 1.0)
    total = float(asked.sum())
    return (spread @ will_do) * there.sum() / total if total > 0 else np.ones(len(there))


def lowest(values: Floats, nodes: int) -> Indices:
    """The `nodes` with the lowest ratings, ties to the first in fleet order. O(N log N)."""
    return np.argsort(values, kind="stable")[:nodes]
