"""Problems to solve, as they are declared."""

import math

import pytest

from suanli.domain.mix import MixObjective
from suanli.domain.problem import MAX_UTILISATION, Objective
from suanli.spec.placement import RESOURCES

PROBLEM = """\
kind: problem
name: p
objective: max-utilisation
nodes:
  - {name: big, count: 2, accelerators: A100-80GB:8, cpus: 64, memory: 512GiB, price: 16/h, opening: 3}
  - {name: small, accelerators: T4:4, cpus: 16, memory: 64GiB, price: 0.5/h per accelerator}
  - {name: bare, cpus: 32, memory: 128GiB, price: 1/h}
workloads:
  - name: gang
    nodes: 2
    resources: {accelerators: [A100-80GB:4, T4:4], cpus: 8, memory: 64GiB}
    duration: {A100-80GB: 2h, small: 5h}
"""
MIX = """\
kind: mix
name: m
items:
  - {name: x1, price: 100, to: 100}
  - {name: x2, price: 200, from: 5, whole: true}
demands:
  - {name: both, per_unit: {x1: 1, x2: -2.5}, at_least: 10}
budget: 5000
"""


def _problem(declare, text=PROBLEM):
    (problem,) = declare(text).problems
    return problem


def test_a_workload_has_an_option_for_each_kind_of_nodes_that_it_names(declare):
    problem = _problem(declare)
    assert problem.resources == RESOURCES
    assert problem.objective == MAX_UTILISATION
    (gang,) = problem.gangs
    assert gang.nodes == 2
    assert [(o.node_class, o.duration_s, o.demand[4]) for o in gang.options] == [
        (0, 7200, 4.0),
        (1, 18000, 4.0),
    ]


def test_a_workload_pays_for_the_largest_share_it_holds_of_any_resource(declare):
    half_a_node, whole_node = _problem(declare).gangs[0].options
    assert half_a_node.cost_usd == pytest.approx(2 * 16 * 0.5 * 2)
    assert whole_node.cost_usd == pytest.approx(2 * 4 * 0.5 * 1.0 * 5)


def test_a_stated_cost_is_for_each_node_and_takes_the_place_of_prices(declare):
    text = PROBLEM + "    cost: {big: 7}\n"
    assert [o.cost_usd for o in _problem(declare, text).gangs[0].options] == pytest.approx([14, 20])


def test_the_default_value_is_the_mean_share_of_what_all_nodes_have(declare):
    option = _problem(declare).gangs[0].options[0]
    cpus, memory, accelerators = 2 * 8 / 176, 2 * 64 / 1216, 2 * 4 / 20
    assert option.value == pytest.approx((cpus + memory + accelerators) / 3)
    text = PROBLEM + "    value: 9\n"
    assert _problem(declare, text).gangs[0].options[0].value == 9


def test_without_a_duration_it_takes_an_hour_everywhere_it_fits(declare):
    text = PROBLEM.replace("    duration: {A100-80GB: 2h, small: 5h}\n", "")
    assert [o.duration_s for o in _problem(declare, text).gangs[0].options] == [3600, 3600]


def test_one_without_accelerators_may_run_on_every_node(declare):
    text = PROBLEM + "  - {name: plain, resources: {cpus: 4}, duration: 10m}\n"
    assert [o.node_class for o in _problem(declare, text).gangs[1].options] == [0, 1, 2]


def test_weights_make_a_mix_and_hours_become_seconds(declare):
    problem = _problem(
        declare, PROBLEM.replace("objective: max-utilisation", "weights: {cost: 1, hours: 36, value: 2}")
    )
    assert problem.objective == Objective(cost_weight=1, time_weight=0.01, value_weight=2)


def test_a_mix_is_rows_over_its_items_in_their_order(declare):
    (mix,) = declare(MIX).problems
    assert mix.objective is MixObjective.MIN_COST
    assert [(i.lower, i.upper, i.whole) for i in mix.items] == [(0, 100, False), (5, math.inf, True)]
    (row,) = mix.demands
    assert (row.amounts, row.at_least, row.at_most) == ((1.0, -2.5), 10, math.inf)
    assert mix.budget_usd == 5000


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        ("{A100-80GB: 2h", "{A100-40: 2h", 12, "workloads[0].duration.A100-40", "Did you mean `A100-80GB`"),
        ("name: small", "name: big", 6, "nodes[1].name", "two nodes called 'big'"),
        ("max-utilisation", "max-utilization", 3, "objective", "Did you mean `max-utilisation`"),
        ("objective: max-utilisation", "weights: {cost: 0}", 3, "weights", "all weights are 0"),
        ("kind: problem", "kind: problem\nweights: {cost: 1}", 2, "weights", "take the place of `objective`"),
        ("A100-80GB:4", "A1000:4", 11, "resources.accelerators", "no accelerator is called 'A1000'"),
        ("count: 2", "count: two", 5, "nodes[0].count", "expected a whole number"),
        ("opening: 3", "openings: 3", 5, "nodes[0].openings", "Did you mean `opening`"),
    ],
)
def test_a_mistake_in_a_problem_is_told_with_its_place_and_a_remedy(mistakes, old, new, line, field, said):
    problems = mistakes(PROBLEM.replace(old, new, 1))
    assert any(p.line == line and field in p.field and said in f"{p.message} {p.remedy}" for p in problems), (
        problems
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("x2: -2.5", "x3: 2", 7, "The items are x1, x2"),
        (", at_least: 10", "", 7, "needs `at_least` or `at_most`"),
        ("at_least: 10", "{at_least: 10, at_most: 5}", 7, ""),
        ("at_least: 10", "at_least: 10, at_most: 5", 7, "is less than `at_least: 10`"),
        ("to: 100", "from: 200, to: 100", 4, "is less than `from: 200`"),
        ("name: x2", "name: x1", 5, "two items 'x1'"),
        ("price: 100", "price: -1", 4, "expected a number of at least 0"),
        ("price: 100", "price: inf", 4, "expected a number"),
    ],
)
def test_a_mistake_in_a_mix_is_told_with_its_place_and_a_remedy(mistakes, old, new, line, said):
    problems = mistakes(MIX.replace(old, new, 1))
    assert any(p.line == line and said in f"{p.message} {p.remedy}" for p in problems), problems
