"""`Ratings`: how good every node is for one shape, kept up with what was taken and given since."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.policies.compiled import loop
from suanli.policies.mix import Mix
from suanli.policies.place import rating
from suanli.policies.table import Ask, Floats, Indices, NodeTable, share_of

_EXPECTED = "expected"
"""Key of a table's memo."""


class Ratings:
    """Of alternatives that differ in the accelerator alone, on one table. Making it is O(N), `best` O(N) in a loop.

    `rule` is a branch of `rating.rate`; `handicap`, float[N], is added to a node's rating, inf to leave it out.
    """

    def __init__(
        self, table: NodeTable, rule: int, asks: Sequence[Ask], handicap: Floats, mix: Mix | None
    ) -> None:
        n = len(table.nodes)
        self._table = table
        self._asks = tuple(asks)
        self._shares: dict[tuple[int, tuple[int, ...]], Share] = {}
        self._since = 0
        self._values = np.full(n, np.inf)
        self._choices = np.zeros(n, dtype=np.int64)
        self._seen = np.full(n, -1, dtype=np.int64)
        self._choose = loop(rating, "choose", n)
        self._before = (rule,)
        self._after = (
            table.free,
            table.device_free,
            table.device_model,
            table.held,
            table.classes,
            table.class_count,
            handicap,
            asks[0].amounts,
            np.array([ask.model for ask in asks], dtype=np.int64),
            np.array([ask.count for ask in asks], dtype=np.float64),
            largest_node(table),
            *_expected(table, mix),
            self._values,
            self._choices,
            self._seen,
        )

    def best(self) -> int:
        """The node with the lowest rating, the first of equals; -1 where none has room."""
        touched = self._table.touched
        best = self._choose(*self._before, touched, self._since, *self._after)
        self._since = len(touched)
        return int(best)

    def values(self) -> Floats:
        """The ratings now, float[N]; inf where there is no room."""
        self.best()
        return self._values

    def placement(self, i: int, rng: np.random.Generator | None = None) -> Placement:
        """The place that was rated on node `i`; with `rng` a share is put on any device that has room. O(D)."""
        a, device = divmod(int(self._choices[i]), rating.DEVICES)
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
        free, model = self._table.device_free[i], self._table.device_model[i]
        with_room = np.flatnonzero((model == ask.model) & (free >= ask.count - rating.EPSILON))
        return int(with_room[int(rng.integers(len(with_room)))])


def _expected(table: NodeTable, mix: Mix | None) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The mix as rows; fragmentation by node and when it was found, for all shapes on the table together."""
    known = table.memo.get(_EXPECTED)
    if known is None or known[0] is not mix:
        n = len(table.nodes)
        rows = mix.rows(table.models) if mix else np.zeros((0, 4 + len(table.models)))
        known = table.memo[_EXPECTED] = mix, (rows, np.zeros(n), np.full(n, -1, dtype=np.int64))
    return known[1]


def lowest(values: Floats, nodes: int) -> Indices:
    """The `nodes` with the lowest ratings, ties to the first in fleet order. O(N log N)."""
    return np.argsort(values, kind="stable")[:nodes]


def largest_node(table: NodeTable) -> tuple[float, float]:
    """The most cores and the most devices that a node has, 1 where there are none."""
    return float(table.capacity[:, 0].max(initial=0.0)) or 1.0, float(
        table.device_count.max(initial=0)
    ) or 1.0
