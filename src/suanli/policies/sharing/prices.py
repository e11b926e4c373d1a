"""The price method: how far the level of all jobs can be raised together, and an allocation that does it.

Each vector of prices gives an upper bound: the level at which the cheapest purchases of all jobs cost just what all
capacity is worth. What they buy there is a column, infeasible on its own; a small linear program mixes columns into
an allocation that fits, and its duals are the next prices. This is Dantzig-Wolfe decomposition (1960), with prices
smoothed as by Wentges (1997); each bound is found by Newton's method, as costs are convex in the level.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from suanli.policies.table import Bools, Floats
from suanli.solvers.linear import solve_lp
from suanli.solvers.matrix import SparseMatrix

TRUST = 0.2
"""Weight of the master's prices in the next ones, the rest is of the best so far. Doubled where nothing improves."""

COLUMNS_MAX = 400
NEWTON_STEPS_MAX = 60

Targets = Callable[[float], tuple[Floats, Floats]]
"""The speed that each job needs at a level, float[n], convex and rising in it; and how fast it rises, float[n]."""


class Market(msgspec.Struct, frozen=True, eq=False):
    """`speed[n, m]` (0: cannot run there), `devices[n]` of each row's gang, or gangs, and `capacity[m]` in devices."""

    speed: Floats
    devices: Floats
    capacity: Floats


class Raised(msgspec.Struct, frozen=True, eq=False):
    """A feasible allocation `x[n, m]` that reaches `level`; none reaches more than `bound`.

    `price[m]` proves the bound: at these prices all capacity is worth 1 and the targets beyond the bound cost more
    (where the bound is below `high`). `held[n]` are rows that cannot rise without another one falling.
    """

    x: Floats
    level: float
    bound: float
    price: Floats
    held: Bools


class _Column(msgspec.Struct, frozen=True, eq=False):
    level: float
    demand: Floats
    price: Floats


def raise_level(
    market: Market,
    targets: Targets,
    *,
    start: Floats,
    low: float,
    high: float,
    tolerance: float,
    first_price: Floats | None = None,
) -> Raised:
    """The highest level in [low, high] for which the targets fit, to a relative `tolerance`.

    `start[n, m]` is an allocation that reaches `low`; nobody's target at `high` may exceed its fastest type. O(n m²)
    for each of usually 10 to 30 evaluations of the costs, fewer from a good first price.
    """
    best = price = even_price(market.capacity) if first_price is None else first_price
    columns = [_Column(low, np.minimum(market.devices @ start, market.capacity), price)]
    weights, level, shadow, bound, trust = np.ones(1), low, price, high, TRUST
    while bound - level > tolerance * abs(bound) and len(columns) < COLUMNS_MAX:
        gap = bound - level
        reached, demand = _affordable(market, targets, price, bound)
        if reached < bound:
            bound, best = reached, price
        columns.append(_Column(reached, demand, price))
        if columns[0].demand.any():
            columns.append(_Column(low, _bought(market, targets, price, low), price))
        weights, level, shadow = _mix(columns, market.capacity)
        trust = TRUST if bound - level < gap else min(2.0 * trust, 1.0)
        price = trust * shadow + (1.0 - trust) * best
    x = _allocation(market, targets, columns, weights, start)
    return Raised(x, level, bound, best, _held(market, targets, shadow, level))


def even_price(capacity: Floats) -> Floats:
    """The same price for every device, all of them together worth 1."""
    return np.where(capacity > 0, 1.0, 0.0) / max(float(capacity.sum()), 1.0)


def _affordable(market: Market, targets: Targets, price: Floats, high: float) -> tuple[float, Floats]:
    """A level, at most `high`, that costs at least what there is: Newton from above stays above the root."""
    from suanli.policies.sharing.purchase import total_cost

    level = high
    target, slope = targets(level)
    cost, rise, demand = total_cost(market.speed, market.devices, price, target, slope)
    for _ in range(NEWTON_STEPS_MAX):
        if cost <= 1.0 + 1e-9:
            break
        level -= (cost - 1.0) / rise
        target, slope = targets(level)
        cost, rise, demand = total_cost(market.speed, market.devices, price, target, slope)
    return level, demand


def _bought(market: Market, targets: Targets, price: Floats, level: float) -> Floats:
    """Devices of each type, float[m]. At the lowest level it is slack that the master mixes in where a column lacks."""
    from suanli.policies.sharing.purchase import total_cost

    return total_cost(market.speed, market.devices, price, *targets(level))[2]


def _mix(columns: list[_Column], capacity: Floats) -> tuple[Floats, float, Floats]:
    """Weights of the columns with the highest mean level that fit, that level, and the prices that this implies."""
    demand = np.stack([c.demand for c in columns], axis=1)
    level = np.array([c.level for c in columns])
    row_lower = np.append(np.full(len(capacity), -np.inf), 1.0)
    answer = solve_lp(level, _master(demand), row_lower, np.append(capacity, 1.0), maximise=True)
    worth = np.maximum(answer.row_duals[:-1], 0.0)
    total = float(worth @ capacity)
    price = worth / total if total > 0 else np.zeros(len(capacity))
    return answer.x, answer.objective, price


def _master(demand: Floats) -> SparseMatrix:
    """Rows: devices of each type, and the weights of all columns, which sum to 1."""
    rows, columns = demand.shape[0] + 1, demand.shape[1]
    return SparseMatrix(
        rows=rows,
        columns=columns,
        start=np.arange(0, rows * columns + 1, rows, dtype=np.int32),
        index=np.tile(np.arange(rows, dtype=np.int32), columns),
        value=np.vstack([demand, np.ones(columns)]).ravel(order="F"),
        by_rows=False,
    )


def _allocation(
    market: Market, targets: Targets, columns: list[_Column], weights: Floats, start: Floats
) -> Floats:
    from suanli.policies.sharing.purchase import add_purchases

    x = weights[0] * start
    for column, weight in zip(columns[1:], weights[1:], strict=True):
        if weight > 0:
            add_purchases(market.speed, column.price, targets(column.level)[0], float(weight), x)
    return x


def _held(market: Market, targets: Targets, price: Floats, level: float) -> Bools:
    """Rows that rise with the level, and either have all of their fastest type or must pay for rising.

    A positive dual price of a row means that it is tight in every optimum (complementary slackness).
    """
    from suanli.policies.sharing.purchase import marginal_costs

    target, slope = targets(level)
    return np.asarray((slope > 0) & (marginal_costs(market.speed, market.devices, price, target) > 1e-12))
