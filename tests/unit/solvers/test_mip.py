"""Mixed-integer programs: whole numbers, proved bounds, limits of work."""

import itertools

import numpy as np
import pytest

from suanli.solvers.matrix import SparseMatrix, matrix_of
from suanli.solvers.mip import solve_mip
from suanli.solvers.status import Status


def _row(*values: float) -> SparseMatrix:
    return matrix_of(1, len(values), [0] * len(values), range(len(values)), values)


def test_a_knapsack_is_filled_as_by_trying_everything() -> None:
    weight, value = np.array([12.0, 2, 1, 4, 1]), np.array([4.0, 2, 1, 10, 2])
    answer = solve_mip(value, _row(*weight), row_upper=15, upper=1, maximise=True)
    best = max(value @ np.array(x) for x in itertools.product((0, 1), repeat=5) if weight @ np.array(x) <= 15)
    assert answer.status == Status.OPTIMAL
    assert answer.objective == answer.bound == pytest.approx(best)
    assert set(answer.x) <= {0.0, 1.0}


def test_only_the_columns_that_are_said_to_be_are_whole() -> None:
    answer = solve_mip([1, 1], _row(2, 2), row_upper=5, upper=10, integral=[True, False], maximise=True)
    assert answer.objective == pytest.approx(2.5)
    assert answer.x[0] == round(answer.x[0])
    relaxed = solve_mip([1, 1], _row(2, 2), row_upper=5, upper=10, integral=False, maximise=True)
    assert relaxed.objective == relaxed.bound == pytest.approx(2.5)


def test_what_cannot_be_is_said_to_be_infeasible() -> None:
    answer = solve_mip([1], _row(2), row_lower=1, row_upper=1, upper=1)
    assert answer.status == Status.INFEASIBLE
    assert answer.gap == np.inf


def test_a_limit_of_work_leaves_a_point_and_a_bound_on_either_side_of_the_optimum() -> None:
    rng = np.random.default_rng(5)
    items, rows = 60, 8
    dense = rng.integers(10, 100, (rows, items)).astype(float)
    value = dense.sum(axis=0) / rows + rng.integers(0, 20, items)
    row, column = np.nonzero(dense)
    matrix = matrix_of(rows, items, row, column, dense[row, column])
    cut = solve_mip(value, matrix, row_upper=dense.sum(axis=1) / 2, upper=1, maximise=True, nodes_max=1)
    start = np.zeros(items)
    start[0] = 1
    begun = solve_mip(
        value, matrix, row_upper=dense.sum(axis=1) / 2, upper=1, maximise=True, nodes_max=1, start=start
    )
    assert cut.status == begun.status == Status.FEASIBLE
    assert cut.objective < cut.bound
    assert cut.gap == pytest.approx((cut.bound - cut.objective) / cut.objective)


def test_the_same_question_gets_the_same_answer() -> None:
    rng = np.random.default_rng(8)
    weight = rng.integers(5, 50, 40).astype(float)
    answers = [solve_mip(weight, _row(*weight), row_upper=333, upper=1, maximise=True) for _ in range(2)]
    assert list(answers[0].x) == list(answers[1].x)
    assert answers[0].nodes == answers[1].nodes
