"""Orders in which list scheduling takes gangs: the classical rules, all tried, the best kept."""

from collections.abc import Iterable

import numpy as np

from suanli.solvers.placement.answer import Chosen, measured
from suanli.solvers.placement.arrays import Arrays, Floats, Integers


def orders(arrays: Arrays) -> list[Integers]:
    """Longest processing time first (Graham 1969), largest share of a node first (first-fit decreasing), most work
    first, most gain for the room first (the greedy rule of the knapsack); ties in the order of the problem."""
    share = share_of(arrays)
    largest, longest = _by_gang(arrays, share), _by_gang(arrays, arrays.duration_s.astype(np.float64))
    work = _by_gang(arrays, share * arrays.duration_s) * arrays.size
    room = arrays.size[arrays.gang] * np.maximum(share, 1e-12)
    dearness = _by_gang(arrays, -arrays.pair_score / room) if arrays.pairs else longest
    keys = [
        (-longest, -largest),
        (-largest, -longest),
        (-work, -longest),
        (-dearness, -largest),
        (-largest * arrays.size, -longest),
    ]
    return [np.lexsort((second, first)) for first, second in keys]


def best_of(arrays: Arrays, answers: Iterable[tuple[Chosen, ...] | None]) -> tuple[Chosen, ...] | None:
    """The one of the lowest score, the first of equals; None where there is none."""
    found = [answer for answer in answers if answer is not None]
    return min(found, key=lambda chosen: round(measured(arrays, chosen).score, 9), default=None)


def share_of(arrays: Arrays) -> Floats:
    """float[P]: the largest share of a node that a pair takes of any resource."""
    capacity = arrays.capacity[arrays.node_class]
    shares = np.divide(arrays.demand, capacity, out=np.zeros_like(arrays.demand), where=capacity > 0)
    return shares.max(axis=1, initial=0.0)


def _by_gang(arrays: Arrays, of_pair: Floats) -> Floats:
    """float[G]: the greatest over the options of each gang."""
    greatest = np.full(arrays.gangs, -np.inf)
    np.maximum.at(greatest, arrays.gang, of_pair)
    return np.where(np.isfinite(greatest), greatest, 0.0)
