"""The problem at the level of node classes: who goes to which class, with the nodes of a class as one large node.

Identical nodes are one symmetry less to search, so this program is small (gangs x classes) whatever the fleet; what
it allows, single nodes may not. Its optimum is therefore a bound of the problem, and often attained.

Columns: x[P] for the pairs, then u[C] opened nodes by class, then T, the completion time in seconds.
"""

from math import floor, gcd

import msgspec
import numpy as np

from suanli.solvers.matrix import Floats
from suanli.solvers.placement.arrays import Arrays
from suanli.solvers.rows import Rows

DUAL_FEASIBLE_MAX = 8
"""Strengthening functions by resource: they see demands of more than 1/2, 1/3 ... 1/9 of a node."""


class ClassProgram(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """`price_row` int[C, R]: the row that holds the capacity of a class in a resource."""

    objective: Floats
    rows: Rows
    lower: Floats
    upper: Floats
    price_row: tuple[tuple[int, ...], ...]


def class_program(arrays: Arrays, *, strong: bool) -> ClassProgram:
    """`strong` adds what fractional shares of a node overlook: that two halves and a bit do not fit on one.

    O(pairs · resources · DUAL_FEASIBLE_MAX).
    """
    rows = Rows()
    _each_once(arrays, rows)
    prices = tuple(
        tuple(_room(arrays, rows, c, shares_of(arrays, c, r)) for r in range(arrays.capacity.shape[1]))
        for c in range(len(arrays.count))
    )
    if strong:
        _strengthen(arrays, rows)
    _opened_for_gangs(arrays, rows)
    _completion(arrays, rows)
    pairs, classes = arrays.pairs, len(arrays.count)
    upper = np.concatenate((np.ones(pairs), arrays.count.astype(np.float64), [np.inf]))
    objective = np.concatenate((arrays.pair_score, arrays.opening_score, [arrays.objective.time_weight]))
    lower = np.zeros(pairs + classes + 1)
    return ClassProgram(objective=objective, rows=rows, lower=lower, upper=upper, price_row=prices)


def _each_once(arrays: Arrays, rows: Rows) -> None:
    least = 0.0 if arrays.objective.may_leave_out else 1.0
    for gang in range(arrays.gangs):
        pairs = arrays.pairs_of(gang)
        rows.add(list(pairs), [1.0] * len(pairs), least, 1.0)


def shares_of(arrays: Arrays, node_class: int, resource: int) -> Floats:
    """float[P]: the share of a node of the class that a pair takes of a resource; 0 for pairs of other classes.

    Shares, since a solver copes badly with bytes beside accelerators.
    """
    capacity = float(arrays.capacity[node_class, resource])
    inside = arrays.node_class == node_class
    return (
        np.where(inside, arrays.demand[:, resource] / capacity, 0.0)
        if capacity > 0
        else np.zeros(len(inside))
    )


def _room(arrays: Arrays, rows: Rows, node_class: int, share: Floats) -> int:
    """Of the share[P] that lies on a class, each node carries 1 at a time."""
    inside = np.nonzero(share > 0)[0]
    amounts = share[inside] * arrays.size[arrays.gang[inside]]
    count = float(arrays.count[node_class])
    if arrays.objective.may_wait:  # work over time: amounts times durations within nodes times completion
        amounts = amounts * arrays.duration_s[inside]
        last = arrays.pairs + len(arrays.count)
        return rows.add([*inside.tolist(), last], [*amounts.tolist(), -count], upper=0.0)
    if arrays.opening_score[node_class] > 0:
        opened = arrays.pairs + node_class
        return rows.add([*inside.tolist(), opened], [*amounts.tolist(), -1.0], upper=0.0)
    return rows.add(inside.tolist(), amounts.tolist(), upper=count)


def _strengthen(arrays: Arrays, rows: Rows) -> None:
    """Dual feasible functions u^(k) (Fekete and Schepers 2001): shares of a node, so rounded that what fits on a node
    still sums to at most 1, but more of what does not is seen."""
    for node_class in range(len(arrays.count)):
        for r in range(arrays.capacity.shape[1]):
            seen = [shares_of(arrays, node_class, r)]
            for k in range(1, DUAL_FEASIBLE_MAX + 1):
                rounded = _dual_feasible(seen[0], k)
                # no row for a function that no demand gains by
                if not any((rounded <= other + 1e-12).all() for other in seen):
                    seen.append(rounded)
                    _room(arrays, rows, node_class, rounded)


def _dual_feasible(share: Floats, k: int) -> Floats:
    scaled = share * (k + 1)
    whole = np.abs(scaled - np.round(scaled)) < 1e-7
    return np.where(whole, share, np.floor(scaled) / k)


def _opened_for_gangs(arrays: Arrays, rows: Rows) -> None:
    """A gang alone opens as many nodes as it has members."""
    for pair in range(arrays.pairs):
        node_class = int(arrays.node_class[pair])
        if arrays.opening_score[node_class] > 0:
            size = float(arrays.size[arrays.gang[pair]])
            rows.add([pair, arrays.pairs + node_class], [size, -1.0], upper=0.0)


def _completion(arrays: Arrays, rows: Rows) -> None:
    if not arrays.objective.may_wait:
        return
    last = arrays.pairs + len(arrays.count)
    for gang in range(arrays.gangs):
        pairs = arrays.pairs_of(gang)
        rows.add([*pairs, last], [*(-arrays.duration_s[p] for p in pairs), 1.0], lower=0.0)


def step_s(arrays: Arrays) -> int:
    """All instants of an optimal schedule are multiples of it: the greatest common divisor of the durations."""
    return gcd(*(int(d) for d in arrays.duration_s)) or 1


def rounded_bound(arrays: Arrays, bound_score: float) -> float:
    """A bound on completion time alone, lifted to the next instant at which anything can end."""
    objective = arrays.objective
    if not objective.only_time or not np.isfinite(bound_score):
        return bound_score
    step = step_s(arrays)
    steps = bound_score / objective.time_weight / step
    return objective.time_weight * step * (floor(steps) if steps - floor(steps) < 1e-6 else floor(steps) + 1)
