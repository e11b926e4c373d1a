"""`dp`: the knapsack by dynamic programming; exact on one node, a bound and a packing on several."""

import math

import numpy as np

from suanli.domain.problem import PlacementProblem
from suanli.solvers.placement.answer import Answer, Chosen, answer_of
from suanli.solvers.placement.arrays import Arrays, Floats, arrays_of
from suanli.solvers.placement.greedy import greedily
from suanli.solvers.placement.knapsack import Knapsack, filled
from suanli.solvers.placement.limits import Limits, NotSuited
from suanli.solvers.placement.listing import listed
from suanli.solvers.placement.orders import best_of, orders
from suanli.solvers.placement.whole import whole_amounts

CELLS_MAX = 50_000_000
"""Of all tables, with one axis for each resource of a single node, two bytes a cell."""
UNITS_MAX = 20_000
"""Of the table with one axis for one resource of many nodes; beyond, units are coarser and demands rounded down,
which keeps the bound a bound."""


def dp(problem: PlacementProblem, limits: Limits, seed: int) -> Answer:
    """Bellman's knapsack. One node whose table is small: exact, O(pairs x product of capacities). Several nodes:
    every single row of capacity (a class in a resource) is a knapsack that all placements must fit, the best of their
    bounds counts; the choice of that knapsack is then packed onto nodes. Raises NotSuited where gangs may wait."""
    if problem.objective.may_wait:
        raise NotSuited("It answers problems in which all that runs begins at once; here gangs may wait.")
    arrays = arrays_of(problem)
    if any(len(arrays.pairs_of(g)) == 0 for g in range(arrays.gangs)) and not problem.objective.may_leave_out:
        return answer_of("dp", problem, arrays, None, math.inf, proved=True)
    if arrays.nodes == 1:
        exact = _one_node(arrays)
        if exact is not None:
            return _answer_of_one(problem, arrays, exact)
    return _many_nodes(problem, arrays)


def _one_node(arrays: Arrays) -> Knapsack | None:
    """All resources at once; None where the table would be too large."""
    whole = whole_amounts(arrays)
    capacity = np.minimum(whole.capacity[0], whole.demand.sum(axis=0))  # more is never used
    if arrays.gangs * math.prod(int(c) + 1 for c in capacity) > CELLS_MAX:
        return None
    return filled(arrays, whole.demand, capacity)


def _answer_of_one(problem: PlacementProblem, arrays: Arrays, exact: Knapsack) -> Answer:
    if exact.pairs is None:
        return answer_of("dp", problem, arrays, None, math.inf, proved=True)
    chosen = tuple(Chosen(pair, (0,)) for pair in exact.pairs)
    empty_is_better = arrays.objective.may_leave_out and exact.score + arrays.opening_score[0] >= 0
    return answer_of("dp", problem, arrays, () if empty_is_better else chosen, -math.inf, proved=True)


def _many_nodes(problem: PlacementProblem, arrays: Arrays) -> Answer:
    knapsacks = [
        _one_row(arrays, c, r) for c in range(len(arrays.count)) for r in range(arrays.capacity.shape[1])
    ]
    knapsacks += [_one_row(arrays, None, r) for r in range(arrays.capacity.shape[1])]
    tightest = max(knapsacks, key=lambda k: k.score)
    if tightest.pairs is None:
        return answer_of("dp", problem, arrays, None, math.inf, proved=True)
    preference = np.ones(arrays.pairs)
    preference[list(tightest.pairs)] = 0.0
    left_out = np.ones(arrays.gangs)
    left_out[arrays.gang[list(tightest.pairs)]] = 0.0
    packed = [
        listed(arrays, order[np.argsort(left_out[order], kind="stable")], preference, strict=True)
        for order in orders(arrays)
    ]
    chosen = best_of(arrays, [*packed, greedily(arrays)])
    return answer_of("dp", problem, arrays, chosen, tightest.score, note="the bound is that of one knapsack")


def _one_row(arrays: Arrays, node_class: int | None, resource: int) -> Knapsack:
    """The relaxation that knows of one resource of one class only, or of the same of all classes together."""
    inside = np.ones(arrays.pairs, np.bool_) if node_class is None else arrays.node_class == node_class
    capacities = arrays.capacity[:, resource] * arrays.count
    capacity = float(capacities.sum() if node_class is None else capacities[node_class])
    demand = np.where(inside, arrays.demand[:, resource] * arrays.size[arrays.gang], 0.0)
    units, room = _units(demand, capacity)
    return filled(arrays, units[:, None], np.array([room], dtype=np.int64))


def _units(demand: Floats, capacity: float) -> tuple[np.ndarray, int]:
    """int[P] and the capacity in whole units: exact where there are few enough, else coarse, in favour of demands."""
    common = _common_unit(demand)
    unit = common if common and capacity / common <= UNITS_MAX else max(capacity, 1e-12) / UNITS_MAX
    return np.floor(demand / unit + 1e-6).astype(np.int64), math.floor(capacity / unit + 1e-6)


def _common_unit(demand: Floats) -> float:
    """The greatest common divisor of the demands, to 1/5040 of one; 0 if none is asked for."""
    parts = np.round(demand * 5040)
    if (np.abs(parts - demand * 5040) > 1e-6 * np.maximum(parts, 1)).any() or (parts > 2**62).any():
        return 0.0
    return float(np.gcd.reduce(parts.astype(np.int64))) / 5040
