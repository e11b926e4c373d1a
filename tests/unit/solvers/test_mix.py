"""The resource-mix program: the example that is not finished, and what finishes it."""

import math

import pytest

from suanli.domain.mix import MixDemand, MixItem, MixObjective, MixProblem
from suanli.solvers.mix import MixAnswer, solve_mix
from suanli.solvers.status import Status


def _solved(
    objective: MixObjective, *demands: MixDemand, budget_usd: float = math.inf, whole: bool = False
) -> MixAnswer:
    """0 <= x1 <= 100, 0 <= x2 <= 200, 0 <= x3 <= 300, at 100, 200 and 300 dollars."""
    items = tuple(
        MixItem(name=f"x{k}", unit="", price_usd=100.0 * k, upper=100.0 * k, whole=whole) for k in (1, 2, 3)
    )
    problem = MixProblem(name="mix", items=items, demands=demands, objective=objective, budget_usd=budget_usd)
    return solve_mix(problem)


def _amounts(answer: MixAnswer) -> list[float]:
    return [quantity.amount for quantity in answer.quantities]


def _demand(*amounts: float, at_least: float = -math.inf, at_most: float = math.inf) -> MixDemand:
    return MixDemand(name="d", amounts=amounts, at_least=at_least, at_most=at_most)


def test_the_most_under_bounds_alone_is_all_of_everything() -> None:
    answer = _solved(MixObjective.MAX_QUANTITY)
    assert _amounts(answer) == [100, 200, 300]
    assert answer.objective == answer.bound == 600
    assert "state a `budget`" in answer.note


def test_the_cheapest_of_what_nobody_demands_is_nothing_and_says_what_is_missing() -> None:
    answer = _solved(MixObjective.MIN_COST)
    assert _amounts(answer) == [0, 0, 0]
    assert answer.objective == 0
    assert "`demands`" in answer.note


def test_demands_complete_the_model_and_carry_their_price() -> None:
    total = _demand(1, 1, 1, at_least=250)
    fast = _demand(0, 1, 2, at_least=200)
    answer = _solved(MixObjective.MIN_COST, total, fast)
    # x1 is cheapest for the total, x3 for the speed: 100 of each leave 50 for x2 ...
    assert _amounts(answer) == pytest.approx([100, 100, 50])
    assert answer.objective == pytest.approx(10_000 + 20_000 + 15_000)
    assert [met.price for met in answer.demands] == pytest.approx([100, 100])
    assert answer.quantities[0].reduced_cost == pytest.approx(0)
    assert answer.note == ""


def test_a_budget_is_spent_on_the_cheapest_and_its_dollar_has_a_price() -> None:
    answer = _solved(MixObjective.MAX_QUANTITY, budget_usd=20_000)
    assert _amounts(answer) == pytest.approx([100, 50, 0])
    assert answer.budget_price == pytest.approx(1 / 200)


def test_whole_units_are_whole_and_their_bound_is_that_of_the_search() -> None:
    demand = _demand(2, 2, 2, at_least=5)
    assert _amounts(_solved(MixObjective.MIN_COST, demand)) == pytest.approx([2.5, 0, 0])
    whole = _solved(MixObjective.MIN_COST, demand, whole=True)
    assert _amounts(whole) == [3, 0, 0]
    assert whole.objective == whole.bound == 300


def test_demands_that_contradict_the_limits_are_proved_impossible() -> None:
    answer = _solved(MixObjective.MIN_COST, _demand(1, 0, 0, at_least=101))
    assert answer.status is Status.INFEASIBLE
    assert answer.quantities == ()
