"""Annealed schedules: shorter than listed ones where these are known to miss the optimum, and always true ones."""

import numpy as np
import pytest

from suanli.domain.problem import MIN_COMPLETION_TIME, Gang, NodeClass, Option, PlacementProblem
from suanli.solvers.placement.answer import measured, violations
from suanli.solvers.placement.arrays import Arrays, arrays_of
from suanli.solvers.placement.blocks import shortened
from suanli.solvers.placement.greedy import greedily

MOVES = 60_000


def _arrays(*gangs: tuple[int, float, int], count: int) -> Arrays:
    """Of (nodes, devices, minutes) on one class of nodes of 8 devices."""
    made = tuple(
        Gang(
            name=f"g{i}",
            nodes=nodes,
            options=(Option(node_class=0, demand=(devices,), duration_s=60 * minutes, cost_usd=0, value=1),),
        )
        for i, (nodes, devices, minutes) in enumerate(gangs)
    )
    return arrays_of(
        PlacementProblem(
            name="p",
            resources=("accelerators",),
            classes=(NodeClass(name="n", count=count, capacity=(8.0,)),),
            gangs=made,
            objective=MIN_COMPLETION_TIME,
        )
    )


def _minutes(arrays: Arrays, goal: int, seed: int = 1) -> tuple[float, float]:
    """When the best list ends, and when what annealing makes of it does."""
    known = greedily(arrays)
    assert known is not None
    rng = np.random.default_rng(seed)
    found = shortened(arrays, known, np.zeros(arrays.pairs), 60.0 * goal, MOVES, rng)
    assert not violations(arrays, found)
    return measured(arrays, known).completion_s / 60, measured(arrays, found).completion_s / 60


@pytest.mark.parametrize(
    ("gangs", "count", "listed", "optimum"),
    [
        ([(1, 8, length) for length in (3, 3, 2, 2, 2)], 2, 7, 6),  # Graham 1969, two machines
        ([(1, 8, length) for length in (5, 5, 4, 4, 3, 3, 3)], 3, 11, 9),  # and three
        ([(2, 8, length) for length in (3, 3, 2, 2, 2)], 4, 7, 6),  # the same, each on two nodes
    ],
)
def test_it_finds_the_optimum_that_the_longest_first_rule_misses(
    gangs: list[tuple[int, float, int]], count: int, listed: int, optimum: int
) -> None:
    assert _minutes(_arrays(*gangs, count=count), optimum) == (listed, optimum)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_asked_it_is_a_true_schedule_and_none_that_ends_later(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gangs = [
        (int(rng.choice([1, 2, 3, 4])), float(rng.integers(1, 9)), int(rng.integers(1, 20)))
        for _ in range(20)
    ]
    listed, found = _minutes(_arrays(*gangs, count=6), 0, seed)
    assert found <= listed


def test_it_ends_where_a_plan_that_keeps_its_aim_makes_no_shorter_schedule() -> None:
    """What is planned is done in no time; what rides along is not, whatever the plan."""
    gangs = [(1, 8.0, 3), *[(1, 3.0, 10)] * 7]
    listed, found = _minutes(_arrays(*gangs, count=2), 12)
    assert found <= listed


def test_what_takes_less_than_half_a_node_each_is_left_as_it_was_listed() -> None:
    arrays = _arrays((1, 2, 3), (1, 3, 4), count=1)
    assert _minutes(arrays, 0) == (4, 4)
