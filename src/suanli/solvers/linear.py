"""`solve_lp`: linear programs from arrays, with the prices of their rows and a bound that those prices certify."""

from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from suanli.solvers.highs import Program, loaded, program, status_of
from suanli.solvers.matrix import Floats, SparseMatrix
from suanli.solvers.status import Status

ITERATIONS_MAX = 1_000_000
PRICE_TOLERANCE = 1e-9


class Method(StrEnum):
    """How HiGHS goes about it: simplex for small and for bases, interior point for large and degenerate programs."""

    SIMPLEX = "simplex"
    INTERIOR_POINT = "ipm"


class LinearAnswer(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """`x` float[columns], `row_duals` float[rows], `reduced_costs` float[columns]; zeros where there is no point.

    `row_duals[i]` is what the objective gains for one more unit of the binding side of row i, in the sense of the
    objective as stated (also when maximising); `reduced_costs[j]` is the same for the bounds of column j. No feasible
    point is better than `bound`; it equals `objective` when optimal, and is infinite where nothing is known.
    """

    status: Status
    x: Floats
    objective: float
    row_duals: Floats
    reduced_costs: Floats
    bound: float
    iterations: int


def solve_lp(
    objective: ArrayLike,
    matrix: SparseMatrix,
    row_lower: ArrayLike = -np.inf,
    row_upper: ArrayLike = np.inf,
    lower: ArrayLike = 0.0,
    upper: ArrayLike = np.inf,
    *,
    maximise: bool = False,
    method: Method = Method.SIMPLEX,
    crossover: bool = True,
    iterations_max: int = ITERATIONS_MAX,
) -> LinearAnswer:
    """Minimise (or maximise) objective·x with row_lower <= A x <= row_upper and lower <= x <= upper.

    Bounds are arrays or one number for all. Without `crossover` the interior point keeps a point inside the optimal
    face: faster, and balanced between equal alternatives. Deterministic: one thread, at most `iterations_max`.
    """
    asked = program(objective, matrix, row_lower, row_upper, lower, upper, maximise)
    options = {
        "solver": method.value,
        "run_crossover": "on" if crossover else "off",
        "simplex_iteration_limit": iterations_max,
        "ipm_iteration_limit": iterations_max,
    }
    solver = loaded(asked, False, options)
    solver.run()
    solution, info = solver.getSolution(), solver.getInfo()
    status = status_of(solver, has_point=info.primal_solution_status == 2)
    holds = status in (Status.OPTIMAL, Status.FEASIBLE)
    x = _array(solution.col_value, matrix.columns, holds)
    duals = _array(solution.row_dual, matrix.rows, solution.dual_valid)
    value = float(asked.objective @ x) if holds else np.nan
    return LinearAnswer(
        status=status,
        x=x,
        objective=value,
        row_duals=duals,
        reduced_costs=_array(solution.col_dual, matrix.columns, solution.dual_valid),
        bound=value if status == Status.OPTIMAL else lagrangian_bound(asked, duals),
        iterations=max(info.simplex_iteration_count, 0) + max(info.ipm_iteration_count, 0),
    )


def lagrangian_bound(asked: Program, row_duals: Floats) -> float:
    """What no feasible point can beat, whatever the prices are: weak duality. O(nonzeros).

    For a minimum: min over rows of y·r within their bounds plus min over columns of (c - yᵀA)·x within theirs;
    infinite where a price points to an open side.
    """
    sign = -1.0 if asked.maximise else 1.0
    prices = sign * np.where(np.abs(row_duals) > PRICE_TOLERANCE, row_duals, 0.0)
    rest = sign * asked.objective - asked.matrix.dot_rows(prices)
    rest[np.abs(rest) <= PRICE_TOLERANCE] = 0.0
    return sign * (_least(prices, asked.row_lower, asked.row_upper) + _least(rest, asked.lower, asked.upper))


def _least(cost: Floats, lower: Floats, upper: Floats) -> float:
    """The least of cost·v with lower <= v <= upper."""
    side = np.where(cost > 0, lower, upper)
    return float(np.sum(cost[cost != 0] * side[cost != 0]))


def _array(values: list[float], length: int, valid: bool) -> Floats:
    return np.array(values, dtype=np.float64) if valid and len(values) == length else np.zeros(length)
