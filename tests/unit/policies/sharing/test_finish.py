"""Allocations by finish times and by sums, against problems solved by hand."""

import numpy as np
import pytest
from tests.unit.policies.sharing.problems import assert_feasible, reached, sharing

from suanli.policies.sharing.finish import finish_time_fairness, makespan
from suanli.policies.sharing.first_come import first_come
from suanli.policies.sharing.throughput import max_throughput, min_cost


def test_the_makespan_gives_time_in_proportion_to_what_is_left() -> None:
    x = makespan(sharing([[2.0], [2.0]], [1], remaining=[300, 100]))
    assert x[:, 0] == pytest.approx([0.75, 0.25], abs=1e-6)


def test_the_makespan_uses_each_type_for_whom_it_serves_best() -> None:
    """60 units at (3, 1) and 20 at (1, 1): 20 s each on its own device; nothing finishes all earlier."""
    problem = sharing([[3.0, 1.0], [1.0, 1.0]], [1, 1], remaining=[60, 20])
    assert (np.array([60, 20]) / reached(problem, makespan(problem))).max() == pytest.approx(20.0, rel=1e-6)


def test_what_nobody_knows_the_length_of_is_taken_for_average() -> None:
    x = makespan(sharing([[2.0], [2.0], [2.0]], [1], remaining=[300, 100, np.nan]))
    assert x[:, 0] == pytest.approx([0.5, 1 / 6, 1 / 3], abs=1e-6)


def test_finish_time_fairness_is_equal_for_equals() -> None:
    x = finish_time_fairness(sharing([[2.0], [2.0]], [1], remaining=[100, 100]))
    assert x[:, 0] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_finish_time_fairness_makes_up_for_a_late_start() -> None:
    """Both have 100 s left on the one device; fair is 200 s each. The second has waited 100 s: (100 + 100/b) / 200
    equals (100/a) / 200 with a + b = 1 where 100·b + 100 = 100·b/a, so a = 0.382 and b = 0.618."""
    x = finish_time_fairness(sharing([[1.0], [1.0]], [1], remaining=[100, 100], elapsed_s=[0, 100]))
    assert x[:, 0] == pytest.approx([0.381966, 0.618034], abs=1e-3)


def test_throughput_goes_to_the_fastest_whoever_starves() -> None:
    x = max_throughput(sharing([[5.0], [1.0], [4.0]], [2]))
    assert x[:, 0] == pytest.approx([1.0, 0.0, 1.0], abs=1e-6)


def test_for_the_money_the_cheap_slow_type_may_be_the_better_one() -> None:
    problem = sharing([[4.0, 1.0]], [1, 1], price=[8.0, 1.0])
    assert min_cost(problem)[0] == pytest.approx([0.0, 1.0], abs=1e-6)


def test_a_deadline_buys_speed() -> None:
    """100 units in 40 s are 2.5 a second: half of the time on the fast type."""
    problem = sharing([[4.0, 1.0]], [1, 1], price=[8.0, 1.0], remaining=[100], deadline_left_s=[40])
    assert min_cost(problem)[0] == pytest.approx([0.5, 0.5], abs=1e-6)


def test_deadlines_that_cannot_all_be_met_bind_nobody() -> None:
    problem = sharing(
        [[4.0, 1.0]] * 2, [1, 1], price=[8.0, 1.0], remaining=[100, 100], deadline_left_s=[25, 25]
    )
    x = min_cost(problem)
    assert_feasible(problem, x)
    assert x[:, 1].sum() == pytest.approx(1.0, abs=1e-6)


def test_first_come_takes_the_fastest_type_that_is_left_and_nobody_overtakes() -> None:
    """The fast device goes to the first; the second takes the slow one; the gang of two waits, all behind it too."""
    problem = sharing([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], [2, 1], devices=[1, 1, 2, 1])
    assert first_come(problem).tolist() == [[0, 1], [1, 0], [0, 0], [0, 0]]
