"""`greedy`: list scheduling in the classical orders."""

import numpy as np

from suanli.domain.problem import PlacementProblem
from suanli.solvers.placement.answer import Answer, Chosen, answer_of
from suanli.solvers.placement.arrays import Arrays, arrays_of
from suanli.solvers.placement.limits import Limits
from suanli.solvers.placement.listing import listed
from suanli.solvers.placement.lp import relaxed_bound
from suanli.solvers.placement.orders import best_of, orders


def greedy(problem: PlacementProblem, limits: Limits, seed: int) -> Answer:
    """The best of longest processing time first, first-fit decreasing and its kin, each gang where it adds least to
    the score. Its bound, and so its gap, is that of the linear relaxation."""
    arrays = arrays_of(problem)
    bound = relaxed_bound(problem, arrays)
    return answer_of("greedy", problem, arrays, greedily(arrays), bound, proved=bound == np.inf)


def greedily(arrays: Arrays) -> tuple[Chosen, ...] | None:
    no_preference = np.zeros(arrays.pairs)
    return best_of(arrays, [listed(arrays, order, no_preference) for order in orders(arrays)])
