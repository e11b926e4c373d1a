"""Raising linear levels: every job gets base + rate * level, as much as fits. Exactly where few rows differ."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from suanli.policies.sharing.centre import analytic_centre
from suanli.policies.sharing.prices import Market, Raised, even_price, raise_level
from suanli.policies.table import Bools, Floats, Indices
from suanli.solvers.linear import Method, solve_lp
from suanli.solvers.matrix import SparseMatrix, matrix_of

EXACT_ROWS_MAX = 128
"""Up to so many distinct rows the linear program is solved as it is; it takes milliseconds."""

ROUNDING = 1e-7
"""Levels that were reached are asked for again with this much less, so that a solver's rounding does not deny them."""

SAMPLE = 1000
SAMPLED_FROM = 10 * SAMPLE
"""Beyond so many rows, prices are first found on a sample of a thousand: they are nearly right for all."""

TOLERANCE = 9e-4
"""Relative gap between what the price method reaches and the bound that it proves."""


class Rows(msgspec.Struct, frozen=True, eq=False):
    """Jobs that are alike in everything that counts share a row: `row[n]` of each job, `count` of each row."""

    first: Indices
    row: Indices
    count: Floats


def collapse(*columns: Floats) -> Rows:
    """Rows by the equality of all columns, float[n] or float[n, m], to twelve digits. O(n log n).

    Rows are found by a weighted sum of their columns, in whose order they stand whatever the order of the jobs, and
    then compared.
    """
    exact = _stacked(columns)
    digits = np.power(10.0, np.floor(np.log10(np.fmax(np.fabs(exact), 1e-300))))
    table: Floats = np.round(exact / digits, 12) * digits
    mixed = np.array([math.sqrt(2.0 + k) for k in range(table.shape[1])])
    _, first, row, count = np.unique(
        (table * mixed).sum(axis=1),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    if not np.array_equal(table[first[row]], table):
        _, first, row, count = np.unique(
            table, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
    return Rows(first.astype(np.intp), row.reshape(-1).astype(np.intp), count.astype(np.float64))


def _stacked(columns: Sequence[Floats]) -> Floats:
    tables = [column if column.ndim == 2 else column[:, None] for column in columns]
    return np.concatenate(tables, axis=1)


def centred(market: Market, target: Floats, x: Floats) -> Floats:
    """The centre of the allocations that reach the targets, as `x` does; beyond 128 distinct rows `x` itself."""
    rows = collapse(market.speed, market.devices, target)
    if len(rows.first) > EXACT_ROWS_MAX:
        return x
    centre = analytic_centre(_collapsed(market, rows), target[rows.first], rows.count, _mean(x, rows))
    return centre[rows.row]


def raise_linear(
    market: Market, base: Floats, rate: Floats, start: Floats, tolerance: float = TOLERANCE
) -> Raised:
    """The highest level with sum_j speed_ij x_ij >= base_i + rate_i * level for all i; `start` reaches level 0.

    Some rate must be positive. With at most 128 distinct rows exact, by linear programming; beyond by prices.
    """
    rows = collapse(market.speed, market.devices, base, rate)
    first = rows.first
    small = _collapsed(market, rows)
    low, risen = base[first] * (1.0 - ROUNDING), rate[first]
    if len(first) <= EXACT_ROWS_MAX:
        raised = _exact(small, low, risen)
    else:
        raised = _by_prices(small, low, risen, _mean(start, rows), tolerance)
    return msgspec.structs.replace(raised, x=raised.x[rows.row], held=raised.held[rows.row])


def _collapsed(market: Market, rows: Rows) -> Market:
    first = rows.first
    return Market(
        np.ascontiguousarray(market.speed[first]), market.devices[first] * rows.count, market.capacity
    )


def _by_prices(market: Market, base: Floats, rate: Floats, start: Floats, tolerance: float) -> Raised:
    """Very many rows are priced first by a sample of them, every k-th in their order."""
    n = len(rate)
    first_price = even_price(market.capacity)
    if n > SAMPLED_FROM:
        every = n // SAMPLE
        rows = slice(None, None, every)
        sample = Market(
            np.ascontiguousarray(market.speed[rows]), market.devices[rows] * every, market.capacity
        )
        zero = np.zeros_like(sample.speed)
        first_price = _raised(
            sample, np.zeros(len(sample.devices)), rate[rows], zero, tolerance, first_price
        ).price
    return _raised(market, base, rate, start, tolerance, first_price)


def _raised(
    market: Market, base: Floats, rate: Floats, start: Floats, tolerance: float, first_price: Floats
) -> Raised:
    rises = rate > 0
    top = (market.speed.max(axis=1) - base)[rises] / rate[rises]
    return raise_level(
        market,
        lambda level: (base + rate * level, rate),
        start=start,
        low=0.0,
        high=max(float(top.min()), 0.0),
        tolerance=tolerance,
        first_price=first_price,
    )


def _mean(x: Floats, rows: Rows) -> Floats:
    total = np.zeros((len(rows.count), x.shape[1]))
    np.add.at(total, rows.row, x)
    return total / rows.count[:, None]


def _exact(market: Market, base: Floats, rate: Floats) -> Raised:
    """The linear program as it is."""
    n, m = market.speed.shape
    answer = solve_lp(
        np.append(np.zeros(n * m), 1.0),
        _program(market, rate),
        np.concatenate([base, np.full(n + m, -np.inf)]),
        np.concatenate([np.full(n, np.inf), np.ones(n), market.capacity]),
        upper=np.append(np.where(market.speed > 0, 1.0, 0.0).ravel(), np.inf),
        maximise=True,
        method=Method.INTERIOR_POINT,
    )
    x = fitted(answer.x[:-1].reshape(n, m), market)
    dual = -answer.row_duals[:n]
    held: Bools = (rate > 0) & (dual * rate > 1e-9)
    return Raised(x, float(answer.x[-1]), answer.bound, answer.row_duals[2 * n :], held)


def _program(market: Market, rate: Floats) -> SparseMatrix:
    """Columns x row by row, then the level. Rows: speeds less rate * level, times, devices of each type."""
    n, m = market.speed.shape
    row, column, value = base_rows(market)
    return matrix_of(
        2 * n + m,
        n * m + 1,
        np.concatenate([row, np.arange(n, dtype=np.intp)]),
        np.concatenate([column, np.full(n, n * m)]),
        np.concatenate([value, -rate]),
    )


def base_rows(market: Market) -> tuple[Indices, Indices, Floats]:
    """Entries of the constraints that all allocations have, with x row by row: speeds, times, devices of each type."""
    n, m = market.speed.shape
    cell = np.arange(n * m, dtype=np.intp)
    job, kind = cell // m, cell % m
    return (
        np.concatenate([job, n + job, 2 * n + kind]),
        np.concatenate([cell, cell, cell]),
        np.concatenate([market.speed.ravel(), np.ones(n * m), np.repeat(market.devices, m)]),
    )


def fitted(x: Floats, market: Market) -> Floats:
    """`x` without the rounding of a solver: nowhere negative, no row above 1, no type above its capacity."""
    x = np.clip(x, 0.0, 1.0)
    x = x / np.maximum(x.sum(axis=1, keepdims=True), 1.0)
    used = market.devices @ x
    return x * np.minimum(1.0, market.capacity / np.maximum(used, 1e-300))[None, :]
