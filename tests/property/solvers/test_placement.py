"""On five hundred random small problems every exact solver finds what trying everything finds, and no bound is
false."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from tests.property.solvers.drawn import OBJECTIVES, drawn

from suanli.domain.problem import MAX_UTILISATION, MIN_COST, Objective, PlacementProblem
from suanli.solvers.placement.answer import Answer, violations
from suanli.solvers.placement.arrays import arrays_of
from suanli.solvers.placement.limits import Limits
from suanli.solvers.placement.listing import listed
from suanli.solvers.placement.registry import SOLVERS
from suanli.solvers.status import Status

LIMITS = Limits(population=12, generations=4)
EACH = 100


def _problems(objective: Objective) -> Iterator[PlacementProblem]:
    first = EACH * OBJECTIVES.index(objective)
    return (drawn(np.random.default_rng(first + k), objective) for k in range(EACH))


def _solved(solver: str, problem: PlacementProblem) -> Answer:
    return SOLVERS[solver](problem, LIMITS, 7)


def _same(one: Answer, other: Answer) -> bool:
    return one.status == other.status and (
        one.objective == pytest.approx(other.objective, rel=1e-6, abs=1e-6) or math.isnan(one.objective)
    )


def _at_most(objective: Objective, bound: float, value: float) -> bool:
    """Whether nothing that reaches `value` betters the bound."""
    return (value <= bound + 1e-6) if objective.maximises else (bound <= value + 1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_exact_solvers_equal_the_exhaustive_one_and_every_bound_holds(objective: Objective) -> None:
    solved = 0
    for problem in _problems(objective):
        best = _solved("exhaustive", problem)
        relaxed, exact, greedy = (_solved(name, problem) for name in ("lp", "mip", "greedy"))
        assert _same(exact, best), problem
        assert _same(_solved("cp", problem), best), problem
        if best.status == Status.INFEASIBLE:
            assert not greedy.assignments
            assert not relaxed.assignments
            continue
        solved += 1
        for answer in (relaxed, exact, greedy):
            assert _at_most(objective, answer.bound, best.objective), (answer, problem)
            if math.isfinite(answer.objective):
                assert _at_most(objective, best.objective, answer.objective), (answer, problem)
                expected = abs(answer.objective - answer.bound) / max(abs(answer.objective), 1e-12)
                assert answer.gap == pytest.approx(expected, abs=1e-6)
        assert _at_most(objective, relaxed.bound, exact.bound)
    assert solved > EACH / 2, "most of the problems must have answers"


@pytest.mark.parametrize("objective", [MIN_COST, MAX_UTILISATION, OBJECTIVES[4]], ids=str)
def test_on_one_node_dynamic_programming_is_exact_and_on_several_its_bound_holds(
    objective: Objective,
) -> None:
    for k in range(EACH):
        alone = drawn(np.random.default_rng(1000 + k), objective, one_node=True)
        assert _same(_solved("dp", alone), _solved("exhaustive", alone)), alone
    for problem in _problems(objective):
        best, answer = _solved("exhaustive", problem), _solved("dp", problem)
        if best.status != Status.INFEASIBLE:
            assert _at_most(objective, answer.bound, best.objective)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_the_genetic_search_reports_its_true_gap_and_a_front_that_holds(objective: Objective) -> None:
    for k, problem in enumerate(_problems(objective)):
        if k % 10:
            continue
        best, answer = _solved("exhaustive", problem), _solved("genetic", problem)
        if best.status == Status.INFEASIBLE or not math.isfinite(answer.objective):
            continue
        assert _at_most(objective, best.objective, answer.objective)
        assert answer.gap >= abs(answer.objective - best.objective) / max(abs(answer.objective), 1e-9) - 1e-6
        for one in answer.front:
            betters = [
                other
                for other in answer.front
                if other != one
                and other.cost_usd <= one.cost_usd
                and other.completion_s <= one.completion_s
                and other.value >= one.value
            ]
            assert not betters


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_list_scheduling_keeps_every_rule_whatever_the_order(objective: Objective) -> None:
    for k, problem in enumerate(_problems(objective)):
        rng = np.random.default_rng(k)
        arrays = arrays_of(problem)
        chosen = listed(arrays, rng.permutation(arrays.gangs), rng.random(arrays.pairs), strict=bool(k % 2))
        assert chosen is None or violations(arrays, chosen) == []


def test_the_same_problem_and_seed_give_the_same_answer() -> None:
    for name in SOLVERS:
        problem = drawn(np.random.default_rng(5), MAX_UTILISATION)
        assert _solved(name, problem) == _solved(name, problem)
