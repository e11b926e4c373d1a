"""`mip`: branch and bound by HiGHS, first over classes of nodes, then, where that is not all, over nodes."""

import math

import numpy as np

from suanli.domain.problem import PlacementProblem
from suanli.solvers.mip import MixedAnswer, solve_mip
from suanli.solvers.placement.answer import Answer, Chosen, answer_of, gap_of, measured
from suanli.solvers.placement.arrays import Arrays, arrays_of
from suanli.solvers.placement.blocks import shortened
from suanli.solvers.placement.classes import class_program, rounded_bound
from suanli.solvers.placement.greedy import greedily
from suanli.solvers.placement.limits import Limits
from suanli.solvers.placement.listing import listed
from suanli.solvers.placement.nodes import NodeProgram, at_once, over_time
from suanli.solvers.placement.orders import best_of, orders
from suanli.solvers.status import Status


def mip(problem: PlacementProblem, limits: Limits, seed: int) -> Answer:
    """Exact within its limits. The program over classes is small and its bound tight; if its choice of classes can be
    packed onto nodes without loss, that is the proof. Else the program over single nodes (over single nodes and
    instants where gangs may wait) decides; where that one would be too large, completion time is still shortened by
    annealing, and the gap stays."""
    arrays = arrays_of(problem)
    by_class = _over_classes(arrays, limits)
    if by_class.status == Status.INFEASIBLE:
        return answer_of("mip", problem, arrays, None, math.inf, proved=True)
    bound = rounded_bound(arrays, by_class.bound)
    chosen = best_of(arrays, [greedily(arrays), *_packed(arrays, by_class)])
    if chosen is not None and gap_of(measured(arrays, chosen).score, bound) <= limits.gap_max:
        return answer_of("mip", problem, arrays, chosen, bound, note="proved over classes of nodes")
    program = (over_time if arrays.objective.may_wait else at_once)(arrays, chosen, bound, limits.columns_max)
    if program is None:
        if chosen is not None and arrays.objective.only_time:
            chosen = _shortened(arrays, chosen, by_class, bound, limits, seed)
        return answer_of("mip", problem, arrays, chosen, bound, note="too large for a program over nodes")
    return _over_nodes(problem, arrays, program, chosen, bound, limits)


def _over_classes(arrays: Arrays, limits: Limits) -> MixedAnswer:
    program = class_program(arrays, strong=True)
    columns = len(program.objective)
    return solve_mip(
        program.objective,
        program.rows.matrix(columns),
        program.rows.lower,
        program.rows.upper,
        program.lower,
        program.upper,
        integral=np.arange(columns) < columns - 1,
        gap_max=limits.gap_max / 2,
        nodes_max=limits.branch_nodes_max,
    )


def _packed(arrays: Arrays, by_class: MixedAnswer) -> list[tuple[Chosen, ...] | None]:
    if not math.isfinite(by_class.objective):
        return []
    share = by_class.x[: arrays.pairs]
    held = np.zeros(arrays.gangs)
    np.maximum.at(held, arrays.gang, share)
    return [
        listed(arrays, order[np.argsort(-held[order], kind="stable")], -share, strict=True)
        for order in orders(arrays)
    ]


def _shortened(
    arrays: Arrays,
    known: tuple[Chosen, ...],
    by_class: MixedAnswer,
    bound: float,
    limits: Limits,
    seed: int,
) -> tuple[Chosen, ...]:
    goal_s = bound / arrays.objective.time_weight / (1 - limits.gap_max)
    liking = by_class.x[: arrays.pairs]
    rng = np.random.Generator(np.random.PCG64(seed))
    return shortened(arrays, known, liking, goal_s, limits.moves_max, rng)


def _over_nodes(
    problem: PlacementProblem,
    arrays: Arrays,
    program: NodeProgram,
    known: tuple[Chosen, ...] | None,
    bound: float,
    limits: Limits,
) -> Answer:
    answer = solve_mip(
        program.objective,
        program.rows.matrix(len(program.objective)),
        program.rows.lower,
        program.rows.upper,
        program.lower,
        program.upper,
        integral=program.integral,
        gap_max=limits.gap_max,
        nodes_max=limits.branch_nodes_max,
        start=program.start,
    )
    if (
        answer.status == Status.INFEASIBLE
    ):  # nothing is better than what was known, or there is nothing at all
        bound = measured(arrays, known).score if known is not None else math.inf
        return answer_of("mip", problem, arrays, known, bound, proved=True)
    found = program.chosen(answer.x) if math.isfinite(answer.objective) else None
    chosen = best_of(arrays, [known, found])
    bound = max(bound, rounded_bound(arrays, answer.bound))
    return answer_of("mip", problem, arrays, chosen, bound)
