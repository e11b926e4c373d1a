"""Sparse constraint matrices as three arrays, in the form in which a solver takes them."""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]


class SparseMatrix(msgspec.Struct, frozen=True, eq=False):
    """`rows` x `columns`, compressed by rows (CSR) or by columns (CSC).

    `start` int32[lines + 1], `index` and `value` [nonzeros]: line k holds `index[start[k]:start[k+1]]`.
    """

    rows: int
    columns: int
    start: Integers
    index: Integers
    value: Floats
    by_rows: bool = True

    def dot(self, x: Floats) -> Floats:
        """A x, float[rows]. O(nonzeros)."""
        if self.by_rows:
            return _totals(self.value * x[self.index], self._lines(), self.rows)
        return _totals(self.value * x[self._lines()], self.index, self.rows)

    def dot_rows(self, y: Floats) -> Floats:
        """yᵀA, float[columns]. O(nonzeros)."""
        if self.by_rows:
            return _totals(self.value * y[self._lines()], self.index, self.columns)
        return _totals(self.value * y[self.index], self._lines(), self.columns)

    def _lines(self) -> Integers:
        """int32[nonzeros]: the line in which each entry lies."""
        return np.repeat(np.arange(len(self.start) - 1, dtype=np.int32), np.diff(self.start))


def matrix_of(rows: int, columns: int, row: ArrayLike, column: ArrayLike, value: ArrayLike) -> SparseMatrix:
    """The matrix with `value[k]` at (`row[k]`, `column[k]`), by rows; what lies at one place is added up.

    O(k log k). Builders that hold their entries in order already fill a SparseMatrix without it.
    """
    row_of, column_of = np.asarray(row, dtype=np.int64), np.asarray(column, dtype=np.int64)
    place, inverse = np.unique(row_of * columns + column_of, return_inverse=True)
    total = np.bincount(inverse, weights=np.asarray(value, dtype=np.float64), minlength=len(place)).astype(
        np.float64
    )
    count = np.bincount(place // max(columns, 1), minlength=rows)
    start = np.concatenate(([0], np.cumsum(count))).astype(np.int32)
    index = (place % max(columns, 1)).astype(np.int32)
    return SparseMatrix(rows, columns, start, index, total)


def _totals(terms: Floats, line: Integers, lines: int) -> Floats:
    return np.bincount(line, weights=terms, minlength=lines)[:lines].astype(np.float64)
