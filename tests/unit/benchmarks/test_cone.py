"""The interior-point method in the benchmarks solves what it is given, or says that nothing does."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

SCRIPTS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("cone")


@pytest.mark.parametrize("seed", range(5))
def test_linear_programs_are_solved_to_the_optimum_of_another_solver(script: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost, rows = rng.uniform(0.1, 1.0, 6), rng.uniform(0.0, 1.0, (9, 6))
    least = rng.uniform(0.5, 2.0, 9)
    table, limit = np.concatenate([-rows, -np.eye(6)]), np.concatenate([-least, np.zeros(6)])
    x = script.solve(script.Program(cost, sparse.csc_array(table), limit, len(limit)))
    assert cost @ x == pytest.approx(linprog(cost, -rows, -least).fun, rel=1e-6)
    assert (table @ x <= limit + 1e-6).all()


def test_a_program_without_a_solution_has_none(script: ModuleType) -> None:
    rows = sparse.csc_array(np.array([[1.0], [-1.0]]))
    assert script.solve(script.Program(np.zeros(1), rows, np.array([1.0, -2.0]), 2)) is None


def test_the_shortest_vector_to_a_line_is_found_in_the_second_order_cone(script: ModuleType) -> None:
    # the least t with t >= |(u, v)| and 3 u + 4 v >= 10
    rows = sparse.csc_array(
        np.array([[-3.0, -4.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    )
    x = script.solve(script.Program(np.array([0.0, 0.0, 1.0]), rows, np.array([-10.0, 0.0, 0.0, 0.0]), 1))
    assert x == pytest.approx([1.2, 1.6, 2.0], rel=1e-5)
