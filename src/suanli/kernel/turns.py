"""`Turns`: who is looked at, one after another; not those of whom it has turned out that there is no room."""

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Record
from suanli.kernel.line import Line
from suanli.policies.table import Bools, Floats, Indices


class Turns:
    """`rows` of the line, in order, with `kinds` (`Line.kinds`) and `priorities`; the `due` have waited for very long.

    O(1) for each that is looked at; for each kind that is closed O(rows that are left), without a look at each.
    """

    def __init__(
        self, line: Line, rows: Indices, kinds: NDArray[np.int64], priorities: Floats, due: Bools
    ) -> None:
        self._line = line
        self._rows = rows
        self._kinds = kinds
        self._priorities = priorities
        self._due = due
        self._looked_at: Bools = np.zeros(len(rows), dtype=np.bool_)
        self._rest: Indices = np.arange(len(rows))
        self._rest_kinds = kinds
        self._next = 0
        self._closed: dict[int, float] = {}
        self._spares_due = True

    def after(self, first: Collection[str]) -> Iterator[Record]:
        """Those named come first, whatever is closed."""
        if first:
            keys = [self._line.records[int(row)].key for row in self._rows]
            named = [i for i, key in enumerate(keys) if key in first]
            self._rest = np.delete(self._rest, named)
            self._rest_kinds = np.delete(self._rest_kinds, named)
            for i in named:
                yield self._look_at(i)
        while self._next < len(self._rest):
            self._next += 1
            yield self._look_at(int(self._rest[self._next - 1]))

    def close(self, priority: float, *, spares_due: bool) -> int:
        """No more of the kind whose turn it is, and of no higher priority; but the due, if they are spared.

        Returns the kind. Once the due have not been spared they are no more.
        """
        kind = int(self._kinds[self._current])
        self._closed[kind] = priority
        self._drop(self._next)
        for closed in (kind,) if spares_due == self._spares_due else tuple(self._closed):
            stays = self._rest_kinds != closed
            if self._closed[closed] < np.inf:
                stays |= self._priorities[self._rest] > self._closed[closed]
            if spares_due:
                stays |= self._due[self._rest]
            self._drop(stays)
        self._spares_due = spares_due
        return kind

    def _drop(self, what: int | Bools) -> None:
        """The first so many of the rest, or all but those chosen."""
        chosen = slice(what, None) if isinstance(what, int) else what
        self._rest, self._rest_kinds, self._next = self._rest[chosen], self._rest_kinds[chosen], 0

    def passed(self) -> Iterator[tuple[Record, int]]:
        """Those that were not looked at, each with its kind."""
        for i in np.flatnonzero(~self._looked_at):
            yield self._line.records[int(self._rows[i])], int(self._kinds[i])

    def in_order(self) -> Iterator[tuple[Record, int]]:
        """All, each with its kind."""
        for row, kind in zip(self._rows.tolist(), self._kinds.tolist(), strict=True):
            yield self._line.records[row], kind

    def _look_at(self, i: int) -> Record:
        self._current = i
        self._looked_at[i] = True
        return self._line.records[int(self._rows[i])]
