"""The centre of equally good allocations, against problems solved by hand."""

import numpy as np
import pytest

from suanli.policies.sharing.centre import analytic_centre
from suanli.policies.sharing.prices import Market
from suanli.policies.table import Floats


def centre(
    speed: list[list[float]], capacity: list[float], target: list[float], x: list[list[float]]
) -> Floats:
    n = len(speed)
    market = Market(np.array(speed), np.ones(n), np.array(capacity))
    return analytic_centre(market, np.array(target), np.ones(n), np.array(x))


def test_without_targets_it_is_as_far_from_nothing_as_from_everything() -> None:
    """log x + log(1 - x) + log(2 - x), one job on two devices: 3x² - 6x + 2 = 0."""
    x = centre([[1.0]], [2.0], [0.0], [[0.0]])
    assert x[0, 0] == pytest.approx(1 - 3**-0.5, abs=1e-6)


def test_a_corner_moves_to_the_middle_and_keeps_what_was_promised() -> None:
    """Each has all of its time in either corner; in the middle both have half of each type."""
    x = centre([[1.0, 1.0], [1.0, 1.0]], [1.0, 1.0], [1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]])
    assert x == pytest.approx(np.full((2, 2), 0.5), abs=1e-5)


def test_where_only_one_allocation_is_good_it_stays() -> None:
    x = centre([[2.0, 1.0], [1.0, 2.0]], [1.0, 1.0], [2.0, 2.0], [[1.0, 0.0], [0.0, 1.0]])
    assert x == pytest.approx(np.eye(2), abs=1e-5)


def test_nobody_has_time_where_it_cannot_run() -> None:
    x = centre([[1.0, 0.0], [1.0, 1.0]], [1.0, 1.0], [0.2, 0.0], [[0.5, 0.0], [0.0, 0.5]])
    assert x[0, 1] == 0.0
    assert (x > 0).sum() == 3


def test_rows_that_stand_for_several_are_as_several_rows() -> None:
    speed = np.array([[1.0, 2.0], [2.0, 1.0]])
    capacity, target = np.array([2.0, 1.0]), np.array([0.5, 0.6])
    x = np.array([[0.1, 0.3], [0.5, 0.1]])
    apart = [0, 0, 1]
    several = analytic_centre(Market(speed[apart], np.ones(3), capacity), target[apart], np.ones(3), x[apart])
    together = analytic_centre(Market(speed, np.array([2.0, 1.0]), capacity), target, np.array([2.0, 1.0]), x)
    assert several == pytest.approx(together[apart], abs=1e-6)
