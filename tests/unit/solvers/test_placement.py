"""Placement problems whose optima are known by hand."""

import math
import sys

import pytest

from suanli.domain.problem import (
    MAX_UTILISATION,
    MIN_COMPLETION_TIME,
    MIN_COST,
    Gang,
    NodeClass,
    Objective,
    Option,
    PlacementProblem,
)
from suanli.solvers.placement.answer import Answer, Chosen, violations
from suanli.solvers.placement.arrays import arrays_of
from suanli.solvers.placement.limits import Limits, NotSuited
from suanli.solvers.placement.registry import SOLVERS
from suanli.solvers.status import Status

EXACT = ("exhaustive", "mip", "cp")


def _gang(
    name: str, devices: float, duration_s: int = 60, *, nodes: int = 1, cost: float = 0.0, value: float = 1.0
) -> Gang:
    option = Option(
        node_class=0, demand=(devices,), duration_s=duration_s, cost_usd=cost, value=value * nodes * devices
    )
    return Gang(name=name, nodes=nodes, options=(option,))


def _problem(
    objective: Objective, *gangs: Gang, count: int = 2, devices: float = 8.0, opening_usd: float = 0.0
) -> PlacementProblem:
    node_class = NodeClass(name="n", count=count, capacity=(devices,), opening_usd=opening_usd)
    return PlacementProblem(
        name="p", resources=("accelerators",), classes=(node_class,), gangs=gangs, objective=objective
    )


def _solved(solver: str, problem: PlacementProblem) -> Answer:
    return SOLVERS[solver](problem, Limits(population=8, generations=4), 1)


@pytest.mark.parametrize("solver", EXACT)
def test_completion_time_where_the_longest_first_rule_is_known_to_miss_it(solver: str) -> None:
    """Graham's example on two machines: 3 3 | 2 2 2 is 6; longest first makes 7 of it."""
    gangs = [_gang(f"g{i}", 8, 60 * length) for i, length in enumerate((3, 3, 2, 2, 2))]
    problem = _problem(MIN_COMPLETION_TIME, *gangs)
    answer = _solved(solver, problem)
    assert (answer.status, answer.completion_s, answer.bound) == (Status.OPTIMAL, 360, 360)


def test_two_run_beside_each_other_where_they_fit_and_wait_where_they_do_not() -> None:
    beside = _problem(MIN_COMPLETION_TIME, _gang("a", 4), _gang("b", 4), count=1)
    behind = _problem(MIN_COMPLETION_TIME, _gang("a", 5), _gang("b", 4), count=1)
    for solver in ("greedy", *EXACT):
        assert _solved(solver, beside).completion_s == 60
        assert _solved(solver, behind).completion_s == 120


@pytest.mark.parametrize("solver", [*EXACT, "dp"])
def test_utilisation_of_one_node_is_the_knapsack(solver: str) -> None:
    problem = _problem(MAX_UTILISATION, *(_gang(f"g{d}", d) for d in (5, 4, 4, 3)), count=1)
    answer = _solved(solver, problem)
    assert (answer.status, answer.objective) == (Status.OPTIMAL, 8)
    assert len(answer.left_out) == 2


@pytest.mark.parametrize("solver", EXACT)
def test_three_halves_and_a_bit_do_not_fit_on_two_nodes_and_one_is_left_out(solver: str) -> None:
    problem = _problem(MAX_UTILISATION, *(_gang(f"g{i}", 5) for i in range(3)))
    answer = _solved(solver, problem)
    assert (answer.objective, len(answer.left_out), answer.gap) == (10, 1, 0)
    assert _solved("lp", problem).bound > 10


@pytest.mark.parametrize("solver", EXACT)
def test_a_gang_takes_distinct_nodes_and_opened_nodes_are_paid_for_once(solver: str) -> None:
    gangs = (_gang("wide", 2, nodes=2, cost=1), _gang("a", 4, cost=1), _gang("b", 4, cost=1))
    answer = _solved(solver, _problem(MIN_COST, *gangs, count=4, opening_usd=10))
    assert answer.cost_usd == pytest.approx(23)
    wide = next(a for a in answer.assignments if a.gang == "wide")
    assert len(set(wide.nodes)) == 2


def test_a_price_is_what_one_more_unit_is_worth() -> None:
    problem = _problem(MAX_UTILISATION, *(_gang(f"g{i}", 4, value=3) for i in range(6)))
    (price,) = _solved("lp", problem).prices
    assert (price.node_class, price.resource, price.price) == ("n", "accelerators", pytest.approx(3))


@pytest.mark.parametrize("solver", ["greedy", "lp", "dp", "mip", "cp", "exhaustive", "genetic"])
def test_what_cannot_all_run_at_once_is_never_said_to(solver: str) -> None:
    answer = _solved(solver, _problem(MIN_COST, *(_gang(f"g{i}", 8) for i in range(3))))
    assert answer.assignments == ()
    assert math.isnan(answer.objective)
    assert answer.status in (Status.INFEASIBLE, Status.UNKNOWN)
    assert solver not in EXACT or answer.status is Status.INFEASIBLE


@pytest.mark.parametrize("solver", ["greedy", "lp", "dp", "mip", "cp", "exhaustive", "genetic"])
def test_a_gang_that_fits_nowhere_is_left_out_or_makes_it_impossible(solver: str) -> None:
    gangs = (_gang("huge", 9), _gang("small", 1))
    answer = _solved(solver, _problem(MAX_UTILISATION, *gangs))
    assert answer.left_out == ("huge",)
    assert _solved(solver, _problem(MIN_COST, *gangs)).status is Status.INFEASIBLE


def test_the_front_trades_money_for_time() -> None:
    def gang(name: str) -> Gang:
        slow = Option(node_class=0, demand=(8.0,), duration_s=100, cost_usd=1, value=1)
        fast = Option(node_class=1, demand=(8.0,), duration_s=10, cost_usd=5, value=1)
        return Gang(name=name, nodes=1, options=(slow, fast))

    classes = tuple(NodeClass(name=name, count=1, capacity=(8.0,)) for name in ("slow", "fast"))
    problem = PlacementProblem(
        name="p",
        resources=("accelerators",),
        classes=classes,
        gangs=(gang("a"), gang("b")),
        objective=MIN_COMPLETION_TIME,
    )
    front = [(p.cost_usd, p.completion_s) for p in _solved("genetic", problem).front]
    assert front == [(2, 200), (6, 100), (10, 20)]


def test_solvers_say_which_problems_they_do_not_take() -> None:
    many = _problem(MAX_UTILISATION, *(_gang(f"g{i}", 1) for i in range(20)), count=4)
    with pytest.raises(NotSuited, match="combinations"):
        _solved("exhaustive", many)
    with pytest.raises(NotSuited, match="may wait"):
        _solved("dp", _problem(MIN_COMPLETION_TIME, _gang("a", 1)))


def test_without_or_tools_the_solver_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    problem = _problem(MAX_UTILISATION, *(_gang(f"g{i}", 5) for i in range(3)))
    with pytest.raises(NotSuited) as caught:
        _solved("cp", problem)
    assert "suanli[solve]" in caught.value.remedy


def test_bytes_and_devices_stand_beside_each_other_in_one_program() -> None:
    def gang(name: str) -> Gang:
        option = Option(node_class=0, demand=(1.0, 600e9), duration_s=3600, cost_usd=1, value=1)
        return Gang(name=name, nodes=1, options=(option,))

    problem = PlacementProblem(
        name="p",
        resources=("accelerators", "memory_bytes"),
        classes=(NodeClass(name="n", count=2, capacity=(8.0, 2**40 * 1.0)),),
        gangs=tuple(gang(f"g{i}") for i in range(3)),
        objective=MIN_COMPLETION_TIME,
    )
    for solver in EXACT:
        assert _solved(solver, problem).completion_s == 7200


def test_broken_rules_are_found() -> None:
    problem = _problem(MIN_COMPLETION_TIME, _gang("a", 5), _gang("b", 5), _gang("wide", 1, nodes=2))
    arrays = arrays_of(problem)
    fine = (Chosen(0, (0,)), Chosen(1, (1,)), Chosen(2, (0, 1)))
    assert violations(arrays, fine) == []
    assert "holds more" in violations(arrays, (Chosen(0, (0,)), Chosen(1, (0,), 59), fine[2]))[0]
    assert violations(arrays, (Chosen(0, (0,)), Chosen(1, (0,), 60), fine[2])) == []
    assert "left out" in violations(arrays, fine[:2])[0]
    assert "distinct" in violations(arrays, (*fine[:2], Chosen(2, (0, 0))))[0]
    assert "twice" in violations(arrays, (*fine, fine[0]))[0]
