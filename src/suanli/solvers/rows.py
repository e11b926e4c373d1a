"""Rows of a program, added one after another and handed over as arrays."""

from collections.abc import Sequence

import numpy as np

from suanli.solvers.matrix import Floats, SparseMatrix


class Rows:
    """Mutable while a program is being built. A column may stand in a row once."""

    def __init__(self) -> None:
        self._index: list[int] = []
        self._value: list[float] = []
        self._start: list[int] = [0]
        self._lower: list[float] = []
        self._upper: list[float] = []

    def __len__(self) -> int:
        return len(self._lower)

    def add(
        self,
        columns: Sequence[int],
        values: Sequence[float],
        lower: float = -np.inf,
        upper: float = np.inf,
    ) -> int:
        """lower <= values·x[columns] <= upper. Returns the row's number."""
        self._index.extend(columns)
        self._value.extend(values)
        self._start.append(len(self._index))
        self._lower.append(lower)
        self._upper.append(upper)
        return len(self._lower) - 1

    def matrix(self, columns: int) -> SparseMatrix:
        return SparseMatrix(
            len(self),
            columns,
            np.array(self._start, dtype=np.int32),
            np.array(self._index, dtype=np.int32),
            np.array(self._value, dtype=np.float64),
        )

    @property
    def lower(self) -> Floats:
        return np.array(self._lower, dtype=np.float64)

    @property
    def upper(self) -> Floats:
        return np.array(self._upper, dtype=np.float64)
