"""Measured points of one subject: bounded in number, dense where new, thinner where old."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

_ROWS_AT_FIRST = 32
_METRICS_MAX = 64
"""A program may report metrics under any name; what comes after these is dropped."""


class Points:
    """Rows in time order, one column per metric, NaN where a row lacks it.

    When `rows_max` is reached, rows of the older half are averaged over `keep_s * 4 / rows_max` seconds each, and those
    older than `keep_s` go. So the newest `rows_max / 2` rows are as measured. Appending is O(metrics), amortised.
    """

    def __init__(self, rows_max: int, keep_s: float) -> None:
        self._rows_max = rows_max
        self._keep_s = keep_s
        self._length = 0
        self._times = np.empty(_ROWS_AT_FIRST)
        self._values = np.empty((_ROWS_AT_FIRST, 0))
        self._columns: dict[str, int] = {}

    @property
    def metrics(self) -> Mapping[str, int]:
        """Column of every metric that has been reported."""
        return self._columns

    @property
    def newest_s(self) -> float:
        return float(self._times[self._length - 1])

    def append(self, at_s: float, row: Mapping[str, float]) -> None:
        """Take in one row, not older than the newest. Drops metrics beyond the first 64."""
        if len(self._columns) < _METRICS_MAX and not row.keys() <= self._columns.keys():
            self._add_columns(row)
        if self._length == len(self._times):
            self._make_room()
        self._times[self._length] = at_s
        self._values[self._length] = [row.get(metric, np.nan) for metric in self._columns]
        self._length += 1

    def means(self, since_s: float) -> dict[str, float]:
        """Mean of every metric since then; empty where there is no row, and without metrics that have no value."""
        rows = self._values[self._start(since_s) : self._length]
        if not len(rows):
            return {}
        means = (np.add.reduce(rows) / len(rows)).tolist()
        if math.isnan(sum(means)):
            return _means_of_known(rows, self._columns)
        return dict(zip(self._columns, means, strict=True))

    def series(self, metric: str, since_s: float) -> list[tuple[float, float]]:
        """(instant, value) pairs since then, oldest first."""
        column = self._columns.get(metric)
        if column is None:
            return []
        rows = slice(self._start(since_s), self._length)
        times, values = self._times[rows], self._values[rows, column]
        known = ~np.isnan(values)
        return list(zip(times[known].tolist(), values[known].tolist(), strict=True))

    def _start(self, since_s: float) -> int:
        return int(np.searchsorted(self._times[: self._length], since_s))

    def _add_columns(self, row: Mapping[str, float]) -> None:
        for metric in row:
            if len(self._columns) < _METRICS_MAX:
                self._columns.setdefault(metric, len(self._columns))
        widened = np.full((len(self._values), len(self._columns)), np.nan)
        widened[:, : self._values.shape[1]] = self._values
        self._values = widened

    def _make_room(self) -> None:
        if self._length < self._rows_max:
            grown = min(2 * self._length, self._rows_max)
            self._times = np.resize(self._times, grown)
            self._values = np.resize(self._values, (grown, self._values.shape[1]))
            return
        half = self._length // 2
        older = slice(int(np.searchsorted(self._times[:half], self._times[half] - self._keep_s)), half)
        spans = np.floor(self._times[older] * self._rows_max / (4 * self._keep_s))
        first_of_each = np.flatnonzero(np.diff(spans, prepend=-np.inf))
        self._length += len(first_of_each) - half
        for array in (self._times, self._values):
            kept = np.concatenate((_group_means(array[older], first_of_each), array[half:]))
            array[: self._length] = kept


def _means_of_known(rows: npt.NDArray[np.float64], metrics: Iterable[str]) -> dict[str, float]:
    columns = ((metric, column[~np.isnan(column)]) for metric, column in zip(metrics, rows.T, strict=True))
    return {metric: float(known.mean()) for metric, known in columns if len(known)}


def _group_means(rows: npt.NDArray[np.float64], starts: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Mean of the known values of each group of rows, NaN where a group has none."""
    if not len(starts):
        return rows[:0]
    known = ~np.isnan(rows)
    counts = np.add.reduceat(known, starts, dtype=np.float64)
    return np.add.reduceat(np.where(known, rows, 0.0), starts) / np.where(counts > 0, counts, np.nan)
