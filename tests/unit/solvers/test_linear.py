"""Linear programs: points, prices and bounds, against hand-solved optima and another solver."""

import numpy as np
import pytest
from scipy.optimize import linprog

from suanli.solvers.highs import program
from suanli.solvers.linear import Method, lagrangian_bound, solve_lp
from suanli.solvers.matrix import SparseMatrix, matrix_of
from suanli.solvers.status import Status

TWO_DISHES = matrix_of(2, 2, [0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 3])
"""max 3x + 5y, x + y <= 4, x + 3y <= 6: the optimum is (3, 1), prices 2 and 1."""


@pytest.mark.parametrize("method", list(Method))
def test_the_optimum_comes_with_the_price_of_each_row(method: Method) -> None:
    answer = solve_lp([3, 5], TWO_DISHES, row_upper=[4, 6], maximise=True, method=method)
    assert answer.status == Status.OPTIMAL
    assert answer.x == pytest.approx([3, 1])
    assert answer.objective == answer.bound == pytest.approx(14)
    assert answer.row_duals == pytest.approx([2, 1])
    assert answer.reduced_costs == pytest.approx([0, 0])


def test_a_minimum_under_a_lower_bound_of_a_row_costs_more_for_each_further_unit() -> None:
    answer = solve_lp([2, 3], matrix_of(1, 2, [0, 0], [0, 1], [1, 1]), row_lower=10, upper=[6, 100])
    assert answer.x == pytest.approx([6, 4])
    assert answer.row_duals == pytest.approx([3])
    assert answer.reduced_costs == pytest.approx([-1, 0])


def test_rows_and_columns_give_the_same_answer() -> None:
    by_columns = SparseMatrix(
        2, 2, np.array([0, 2, 4], np.int32), np.array([0, 1, 0, 1], np.int32), np.array([1.0, 1, 1, 3]), False
    )
    one = solve_lp([3, 5], TWO_DISHES, row_upper=[4, 6], maximise=True)
    other = solve_lp([3, 5], by_columns, row_upper=[4, 6], maximise=True)
    assert list(one.x) == list(other.x)
    assert list(one.row_duals) == list(other.row_duals)


def test_contradictory_rows_are_told_from_a_missing_limit() -> None:
    one = matrix_of(1, 1, [0], [0], [1.0])
    assert solve_lp([1], one, row_lower=2, upper=1).status == Status.INFEASIBLE
    unlimited = solve_lp([1], one, row_lower=2, maximise=True)
    assert unlimited.status == Status.UNBOUNDED
    assert unlimited.bound == np.inf


def test_a_program_without_rows_goes_to_its_bounds() -> None:
    empty = matrix_of(0, 3, [], [], [])
    assert solve_lp([1, 1, 1], empty, upper=[100, 200, 300], maximise=True).x == pytest.approx(
        [100, 200, 300]
    )
    assert solve_lp([100, 200, 300], empty, upper=[100, 200, 300]).x == pytest.approx([0, 0, 0])


def test_a_bound_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        solve_lp([np.nan, 1], TWO_DISHES, row_upper=[4, 6])


@pytest.mark.parametrize("seed", range(10))
def test_random_programs_agree_with_another_entry_to_the_solver_and_their_prices_certify_the_bound(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 5, (6, 9)).astype(float)
    gain, limit, upper = rng.uniform(1, 5, 9), rng.uniform(5, 20, 6), rng.uniform(1, 4, 9)
    row, column = np.nonzero(dense)
    matrix = matrix_of(6, 9, row, column, dense[row, column])
    answer = solve_lp(gain, matrix, row_upper=limit, upper=upper, maximise=True)
    other = linprog(-gain, A_ub=dense, b_ub=limit, bounds=[(0, u) for u in upper])
    assert answer.objective == pytest.approx(-other.fun)
    asked = program(gain, matrix, -np.inf, limit, 0.0, upper, True)
    assert lagrangian_bound(asked, answer.row_duals) == pytest.approx(answer.objective)
    assert lagrangian_bound(asked, rng.uniform(0, 2, 6)) >= answer.objective


def test_a_work_limit_ends_the_search_with_a_bound_that_holds() -> None:
    rng = np.random.default_rng(3)
    dense = rng.uniform(0, 5, (40, 60))
    row, column = np.nonzero(dense)
    matrix = matrix_of(40, 60, row, column, dense[row, column])
    whole = solve_lp(np.ones(60), matrix, row_upper=10, upper=3, maximise=True)
    cut = solve_lp(np.ones(60), matrix, row_upper=10, upper=3, maximise=True, iterations_max=3)
    assert cut.status in (Status.FEASIBLE, Status.UNKNOWN)
    assert cut.iterations <= 3
    assert cut.bound >= whole.objective - 1e-9
