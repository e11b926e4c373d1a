"""Max-min fairness and its kin, against problems solved by hand."""

import numpy as np
import pytest
from tests.unit.policies.sharing.problems import assert_feasible, reached, sharing

from suanli.policies.sharing.agnostic import agnostic
from suanli.policies.sharing.fair import hierarchical, max_min, water_filling


def test_two_alike_on_one_device_have_half_of_the_time_each() -> None:
    assert max_min(sharing([[3.0], [3.0]], [1])) == pytest.approx(np.array([[0.5], [0.5]]), abs=1e-6)


def test_weights_are_shares() -> None:
    x = max_min(sharing([[3.0], [3.0]], [1], weight=[1, 3]))
    assert x == pytest.approx(np.array([[0.25], [0.75]]), abs=1e-6)


def test_a_gang_of_four_gets_a_quarter_of_the_time_of_a_single() -> None:
    """Fair in device time: 4 devices, x for the single and x/4 for the gang, of which 4·x/4 + x fit: x = 1."""
    x = max_min(sharing([[1.0], [1.0]] * 3, [4], devices=[1, 4] * 3))
    assert x[:, 0] == pytest.approx(np.array([4 / 6, 1 / 6] * 3), abs=1e-6)


def test_each_goes_where_it_is_relatively_faster() -> None:
    """Equal shares give (4+1)/2 and (2+1)/2. With all of the fast one to the first and the slow one to the second:
    4/2.5 = 1.6 and 1/1.5 = 0.67. Equal levels z: first has x of the fast one, the second the rest and the slow one's
    1-(1-x) of its time: 4x = 2.5z, 2(1-x) + x = 1.5z, so x = 10/17 and z = 16/17."""
    problem = sharing([[4.0, 1.0], [2.0, 1.0]], [1, 1])
    x = max_min(problem)
    assert_feasible(problem, x)
    levels = reached(problem, x) / np.array([2.5, 1.5])
    assert levels.min() == pytest.approx(_best_level([[4.0, 1.0], [2.0, 1.0]], [2.5, 1.5]), abs=1e-4)


def _best_level(speed: list[list[float]], scale: list[float]) -> float:
    """By trying: the time that the first has on the fast device, all else follows."""
    best = 0.0
    for a in np.linspace(0.0, 1.0, 10001):
        first = speed[0][0] * a + speed[0][1] * (1 - a)
        second = speed[1][0] * (1 - a) + speed[1][1] * a
        best = max(best, min(first / scale[0], second / scale[1]))
    return best


def test_who_can_run_nowhere_gets_nothing_and_does_not_hold_up_the_rest() -> None:
    problem = sharing([[0.0], [2.0], [2.0]], [2], devices=[1, 1, 4])
    assert max_min(problem) == pytest.approx(np.array([[0.0], [1.0], [0.0]]), abs=1e-6)


def test_nobody_at_all() -> None:
    assert max_min(sharing([], [4.0, 2.0])).shape == (0, 2)


def test_water_filling_gives_on_what_the_least_cannot_use() -> None:
    """Two types of one device. The first two can only use the first type; the third has the second for itself."""
    problem = sharing([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]], [1, 1])
    assert water_filling(problem) == pytest.approx(np.array([[0.5, 0], [0.5, 0], [0, 1]]), abs=1e-4)


def test_teams_share_by_weight_and_inside_them_their_jobs() -> None:
    """One device; team 0 has weight 1 and one job, team 1 weight 3 and two."""
    problem = sharing([[1.0]] * 3, [1], entity=[0, 1, 1], entity_weight=[1, 3])
    assert hierarchical(problem)[:, 0] == pytest.approx([0.25, 0.375, 0.375], abs=1e-4)


def test_what_a_saturated_job_leaves_stays_in_its_team() -> None:
    """Four devices, teams of weight 1 and 3: of three for the second team its single job can use but one, so the
    first team's three jobs share the other three and each has all of its time."""
    problem = sharing([[1.0]] * 4, [4], entity=[0, 0, 0, 1], entity_weight=[1, 3])
    assert hierarchical(problem)[:, 0] == pytest.approx([1.0] * 4, abs=1e-4)


def test_within_the_team_first() -> None:
    """Three devices; team 1 (weight 2) has a gang of one that saturates at one device, so its sibling gets more than
    the jobs of team 0: rates are 1/2 each for team 0 and 1 each for team 1; at level 1 the jobs of team 1 are full."""
    problem = sharing([[1.0]] * 4, [3], entity=[0, 0, 1, 1], entity_weight=[1, 2])
    assert hierarchical(problem)[:, 0] == pytest.approx([0.5, 0.5, 1.0, 1.0], abs=1e-4)


def test_the_agnostic_spread_their_time_alike_and_away_from_all_limits() -> None:
    """Two jobs have a of the one device and 1 - a of the three each, where log a + log(1 - a) + log(1 - 2a)/2 +
    log(1 + 2a)/2 is largest: 12a³ - 8a² - 2a + 1 = 0."""
    x = agnostic(max_min)(sharing([[9.0, 1.0], [1.0, 9.0]], [1, 3]))
    a = min(root for root in np.roots([12, -8, -2, 1]).real if root > 0)
    assert x == pytest.approx(np.array([[a, 1 - a]] * 2), abs=1e-5)
