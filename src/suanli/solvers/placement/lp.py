"""`lp`: the linear relaxation, the prices that come with it, and a placement rounded from it."""

import numpy as np

from suanli.domain.problem import PlacementProblem
from suanli.solvers.linear import LinearAnswer, solve_lp
from suanli.solvers.placement.answer import Answer, Price, answer_of
from suanli.solvers.placement.arrays import Arrays, Floats, Integers, arrays_of
from suanli.solvers.placement.classes import class_program, rounded_bound
from suanli.solvers.placement.limits import Limits
from suanli.solvers.placement.listing import listed
from suanli.solvers.placement.orders import best_of, orders
from suanli.solvers.status import Status

PRICE_TOLERANCE = 1e-9


def lp(problem: PlacementProblem, limits: Limits, seed: int) -> Answer:
    """A bound, and the price of each scarce resource: the dual value of its row. The placement is list scheduling in
    which each gang goes to the class that holds most of it, the surest first. One linear program of gangs x
    classes."""
    arrays = arrays_of(problem)
    relaxed, prices = relaxation(problem, arrays)
    chosen = None
    if relaxed.status == Status.OPTIMAL:
        share = relaxed.x[: arrays.pairs]
        chosen = best_of(
            arrays, [listed(arrays, order, -share, strict=True) for order in _rounding_orders(arrays, share)]
        )
    return answer_of(
        "lp", problem, arrays, chosen, bound_of(arrays, relaxed),
        proved=relaxed.status == Status.INFEASIBLE, prices=prices,
    )  # fmt: skip


def relaxation(problem: PlacementProblem, arrays: Arrays) -> tuple[LinearAnswer, tuple[Price, ...]]:
    program = class_program(arrays, strong=False)
    matrix = program.rows.matrix(len(program.objective))
    relaxed = solve_lp(
        program.objective, matrix, program.rows.lower, program.rows.upper, program.lower, program.upper
    )
    prices = tuple(
        Price(node_class=node_class.name, resource=resource, price=-float(relaxed.row_duals[row]) / capacity)
        for node_class, rows in zip(problem.classes, program.price_row, strict=True)
        for resource, row, capacity in zip(problem.resources, rows, node_class.capacity, strict=True)
        if relaxed.status == Status.OPTIMAL and -relaxed.row_duals[row] > PRICE_TOLERANCE
    )
    return relaxed, prices


def bound_of(arrays: Arrays, relaxed: LinearAnswer) -> float:
    """No score is less. Infinite where nothing is feasible at all."""
    return np.inf if relaxed.status == Status.INFEASIBLE else rounded_bound(arrays, relaxed.bound)


def relaxed_bound(problem: PlacementProblem, arrays: Arrays) -> float:
    return bound_of(arrays, relaxation(problem, arrays)[0])


def _rounding_orders(arrays: Arrays, share: Floats) -> list[Integers]:
    held = np.zeros(arrays.gangs)
    np.maximum.at(held, arrays.gang, share)
    return [order[np.argsort(-np.round(held[order], 6), kind="stable")] for order in orders(arrays)]
