"""`cp`: constraint programming by CP-SAT. Instants and amounts are whole numbers there; nothing is lost by it."""

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from suanli.domain.problem import PlacementProblem
from suanli.solvers.placement.answer import Answer, Chosen, answer_of, gap_of, measured
from suanli.solvers.placement.arrays import Arrays, arrays_of
from suanli.solvers.placement.classes import rounded_bound
from suanli.solvers.placement.greedy import greedily
from suanli.solvers.placement.limits import INSTALL, Limits, NotSuited
from suanli.solvers.placement.lp import relaxed_bound
from suanli.solvers.placement.orders import best_of
from suanli.solvers.placement.whole import Whole, whole_amounts

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

SCORE_DIGITS = 14
"""The sum of all scores is held to that many digits; CP-SAT has 18."""


def cp(problem: PlacementProblem, limits: Limits, seed: int) -> Answer:
    """Exact within its limit of deterministic time: one worker, a seed, never a clock. Starts from the greedy answer
    and from the bound of the linear relaxation."""
    arrays = arrays_of(problem)
    bound = relaxed_bound(problem, arrays)
    if bound == np.inf:
        return answer_of("cp", problem, arrays, None, math.inf, proved=True)
    known = greedily(arrays)
    if known is not None and gap_of(measured(arrays, known).score, bound) <= limits.gap_max:
        return answer_of("cp", problem, arrays, known, bound, note="greedy meets the bound of the relaxation")
    seats = int((arrays.count[arrays.node_class]).sum())
    if seats > (limits.intervals_max if arrays.objective.may_wait else limits.columns_max):
        return answer_of(
            "cp", problem, arrays, known, bound, note=f"too large: {seats:,} pairs of option and node"
        )
    model = _model(arrays, whole_amounts(arrays), bound, known)
    return _solved(problem, arrays, model, known, bound, limits, seed)


def ortools() -> Any:
    """CP-SAT's module. Raises NotSuited where it is not installed."""
    try:
        from ortools.sat.python import cp_model
    except ModuleNotFoundError as error:
        raise NotSuited("It needs OR-Tools, which is not installed.", remedy=INSTALL) from error
    return cp_model


class _Model(msgspec.Struct, eq=False, kw_only=True):
    """The model and the variables an answer is read from."""

    cp: "cp_model.CpModel"
    runs: list["cp_model.IntVar"]
    holds: dict[tuple[int, int], "cp_model.IntVar"]
    starts: list["cp_model.IntVar"]
    scale: float


def _model(arrays: Arrays, whole: Whole, bound: float, known: tuple[Chosen, ...] | None) -> _Model:
    cp_model = ortools()
    cp = cp_model.CpModel()
    runs = [cp.new_bool_var("") for _ in range(arrays.pairs)]
    holds = {
        (pair, node): cp.new_bool_var("")
        for pair in range(arrays.pairs)
        for node in range(*(int(n) for n in arrays.first_node[arrays.node_class[pair] :][:2]))
    }
    horizon_s = _horizon_s(arrays, known)
    starts = [cp.new_int_var(0, horizon_s, "") for _ in range(arrays.gangs)]
    model = _Model(cp=cp, runs=runs, holds=holds, starts=starts, scale=_scale(arrays, horizon_s))
    _each_once(arrays, model)
    if arrays.objective.may_wait:
        _one_after_another(arrays, whole, model)
    else:
        _side_by_side(arrays, whole, model)
    _minimise(arrays, model, horizon_s, bound)
    if known is not None:
        _hint(arrays, model, known)
    return model


def _horizon_s(arrays: Arrays, known: tuple[Chosen, ...] | None) -> int:
    """The latest instant at which the last gang of a better answer can end."""
    if not arrays.objective.may_wait:
        return 0
    longest = np.zeros(arrays.gangs, dtype=np.int64)
    np.maximum.at(longest, arrays.gang, arrays.duration_s)
    total = int(longest.sum())
    if known is None or not arrays.objective.only_time:
        return total
    return min(total, measured(arrays, known).completion_s)


def _each_once(arrays: Arrays, model: _Model) -> None:
    for gang in range(arrays.gangs):
        pairs = [model.runs[p] for p in arrays.pairs_of(gang)]
        if arrays.objective.may_leave_out:
            model.cp.add_at_most_one(pairs)
        else:
            model.cp.add_exactly_one(pairs)
    for pair, runs in enumerate(model.runs):
        size = int(arrays.size[arrays.gang[pair]])
        members = [model.holds[pair, n] for n in _nodes(arrays, pair)]
        model.cp.add(sum(members) == size * runs)
        for member in members:
            model.cp.add_implication(member, runs)


def _nodes(arrays: Arrays, pair: int) -> range:
    at = arrays.node_class[pair]
    return range(int(arrays.first_node[at]), int(arrays.first_node[at + 1]))


def _side_by_side(arrays: Arrays, whole: Whole, model: _Model) -> None:
    for node in range(arrays.nodes):
        here = [(pair, held) for (pair, n), held in model.holds.items() if n == node]
        for r in range(whole.demand.shape[1]):
            room = int(whole.capacity[arrays.nodes_class[node], r])
            model.cp.add(sum(int(whole.demand[pair, r]) * held for pair, held in here) <= room)
    for node_class in range(len(arrays.count)):  # implied; lets the solver see the class before its nodes
        inside = [int(p) for p in np.nonzero(arrays.node_class == node_class)[0]]
        for r in range(whole.demand.shape[1]):
            room = int(whole.capacity[node_class, r] * arrays.count[node_class])
            size = arrays.size[arrays.gang]
            model.cp.add(sum(int(size[p] * whole.demand[p, r]) * model.runs[p] for p in inside) <= room)


def _one_after_another(arrays: Arrays, whole: Whole, model: _Model) -> None:
    on: dict[int, list[tuple[int, cp_model.IntervalVar]]] = {n: [] for n in range(arrays.nodes)}
    for (pair, node), held in model.holds.items():
        start, duration = model.starts[arrays.gang[pair]], int(arrays.duration_s[pair])
        on[node].append((pair, model.cp.new_optional_fixed_size_interval_var(start, duration, held, "")))
    for node, intervals in on.items():
        for r in range(whole.demand.shape[1]):
            demands = [int(whole.demand[pair, r]) for pair, _ in intervals]
            room = int(whole.capacity[arrays.nodes_class[node], r])
            model.cp.add_cumulative([interval for _, interval in intervals], demands, room)
    by_class: dict[int, list[tuple[int, cp_model.IntervalVar]]] = {c: [] for c in range(len(arrays.count))}
    for pair, runs in enumerate(model.runs):
        start, duration = model.starts[arrays.gang[pair]], int(arrays.duration_s[pair])
        interval = model.cp.new_optional_fixed_size_interval_var(start, duration, runs, "")
        by_class[int(arrays.node_class[pair])].append((pair, interval))
    for node_class, intervals in by_class.items():  # implied, as above
        for r in range(whole.demand.shape[1]):
            demands = [int(arrays.size[arrays.gang[p]] * whole.demand[p, r]) for p, _ in intervals]
            room = int(whole.capacity[node_class, r] * arrays.count[node_class])
            model.cp.add_cumulative([interval for _, interval in intervals], demands, room)


def _minimise(arrays: Arrays, model: _Model, horizon_s: int, bound: float) -> None:
    terms = [round(model.scale * s) * runs for s, runs in zip(arrays.pair_score, model.runs, strict=True)]
    for node in range(arrays.nodes):
        opening = float(arrays.opening_score[arrays.nodes_class[node]])
        if opening > 0:
            opened = model.cp.new_bool_var("")
            terms.append(round(model.scale * opening) * opened)
            for (_, n), held in model.holds.items():
                if n == node:
                    model.cp.add_implication(held, opened)
    if arrays.objective.may_wait:
        pure = arrays.objective.only_time
        least_s = math.ceil(bound / arrays.objective.time_weight - 1e-6) if pure else 0
        completion = model.cp.new_int_var(max(0, least_s), horizon_s, "")
        for pair, runs in enumerate(model.runs):
            end = model.starts[arrays.gang[pair]] + int(arrays.duration_s[pair])
            model.cp.add(completion >= end).only_enforce_if(runs)
        terms.append(round(model.scale * arrays.objective.time_weight) * completion)
    model.cp.minimize(sum(terms))


def _scale(arrays: Arrays, horizon_s: int) -> float:
    """The power of ten that makes scores whole numbers of SCORE_DIGITS digits in all."""
    total = float(np.abs(arrays.pair_score).sum()) + float(arrays.opening_score @ arrays.count)
    total += arrays.objective.time_weight * horizon_s
    return 10.0 ** (SCORE_DIGITS - math.ceil(math.log10(max(total, 1e-9))))


def _hint(arrays: Arrays, model: _Model, known: tuple[Chosen, ...]) -> None:
    held = {(c.pair, n) for c in known for n in c.nodes}
    running = {c.pair for c in known}
    for pair, runs in enumerate(model.runs):
        model.cp.add_hint(runs, pair in running)
    for seat, hold in model.holds.items():
        model.cp.add_hint(hold, seat in held)
    for one in known:
        model.cp.add_hint(model.starts[arrays.gang[one.pair]], one.start_s)


def _solved(
    problem: PlacementProblem,
    arrays: Arrays,
    model: _Model,
    known: tuple[Chosen, ...] | None,
    bound: float,
    limits: Limits,
    seed: int,
) -> Answer:
    cp_model = ortools()
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_deterministic_time = limits.deterministic_max
    solver.parameters.relative_gap_limit = limits.gap_max
    ended = solver.solve(model.cp)
    if ended == cp_model.INFEASIBLE:
        return answer_of("cp", problem, arrays, None, math.inf, proved=True)
    if ended not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return answer_of("cp", problem, arrays, known, bound)
    found = tuple(
        Chosen(
            pair,
            tuple(n for n in _nodes(arrays, pair) if solver.boolean_value(model.holds[pair, n])),
            int(solver.value(model.starts[arrays.gang[pair]])),
        )
        for pair, runs in enumerate(model.runs)
        if solver.boolean_value(runs)
    )
    proved = rounded_bound(arrays, solver.best_objective_bound / model.scale)
    return answer_of("cp", problem, arrays, best_of(arrays, [known, found]), max(bound, proved))
