"""`Turns`: who is looked at, one after another; not those of whom it has turned out that there is no room."""

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Record
from suanli.kernel import scan
from suanli.kernel.line import Line
from suanli.policies.compiled import loop
from suanli.policies.table import Bools, Floats, Indices


class Turns:
    """`rows` of the line, in order, with `kinds` (`Line.kinds`) and `priorities`; the `due` have waited for very long.

    O(1) to close a kind, and O(rows) for all turns together. `nodes` of the fleet tell whether a compiler is worth it.
    """

    def __init__(
        self, line: Line, rows: Indices, kinds: NDArray[np.int64], priorities: Floats, due: Bools, nodes: int
    ) -> None:
        self._line = line
        self._rows = rows
        self._kinds = kinds
        self._looked_at: Bools = np.zeros(len(rows), dtype=np.bool_)
        self._closed: Floats = np.full(int(kinds.max(initial=-1)) + 1, -np.inf)
        self._about = kinds, priorities, due
        self._spares_due = True
        self._next_open = loop(scan, "next_open", nodes)

    def after(self, first: Collection[str]) -> Iterator[Record]:
        """Those named come first, whatever is closed."""
        if first:
            keys = [self._line.records[int(row)].key for row in self._rows]
            for i in [i for i, key in enumerate(keys) if key in first]:
                yield self._look_at(i)
        i = self._next(0)
        while i < len(self._rows):
            yield self._look_at(i)
            i = self._next(i + 1)

    def close(self, priority: float, *, spares_due: bool) -> int:
        """No more of the kind whose turn it is, and of no higher priority; but the due, if they are spared.

        Returns the kind. Once the due have not been spared, they are no more.
        """
        kind = int(self._kinds[self._current])
        self._closed[kind] = priority
        self._spares_due = spares_due
        return kind

    def passed(self) -> Iterator[tuple[Record, int]]:
        """Those that were not looked at, each with its kind."""
        for i in np.flatnonzero(~self._looked_at):
            yield self._line.records[int(self._rows[i])], int(self._kinds[i])

    def in_order(self) -> Iterator[tuple[Record, int]]:
        """All, each with its kind."""
        for row, kind in zip(self._rows.tolist(), self._kinds.tolist(), strict=True):
            yield self._line.records[row], kind

    def _next(self, i: int) -> int:
        return int(self._next_open(i, self._looked_at, *self._about, self._spares_due, self._closed))

    def _look_at(self, i: int) -> Record:
        self._current = i
        self._looked_at[i] = True
        return self._line.records[int(self._rows[i])]
