"""One run of HiGHS on arrays: quiet, one thread, bounded by iterations and nodes, never by a clock."""

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from suanli.solvers.matrix import Floats, SparseMatrix
from suanli.solvers.status import Status

if TYPE_CHECKING:
    from highspy import Highs

BY_COLUMNS, BY_ROWS = 1, 2
MINIMISE, MAXIMISE = 1, -1


class Program(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Best c·x with row_lower <= A x <= row_upper and lower <= x <= upper; arrays float64, infinities allowed."""

    objective: Floats
    matrix: SparseMatrix
    row_lower: Floats
    row_upper: Floats
    lower: Floats
    upper: Floats
    maximise: bool


def program(
    objective: ArrayLike,
    matrix: SparseMatrix,
    row_lower: ArrayLike,
    row_upper: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    maximise: bool,
) -> Program:
    """The program with every bound as an array; a single number holds for all rows or columns."""
    return Program(
        objective=_floats(objective, matrix.columns),
        matrix=matrix,
        row_lower=_floats(row_lower, matrix.rows),
        row_upper=_floats(row_upper, matrix.rows),
        lower=_floats(lower, matrix.columns),
        upper=_floats(upper, matrix.columns),
        maximise=maximise,
    )


def loaded(asked: Program, integral: ArrayLike, options: dict[str, Any]) -> "Highs":
    """A solver that holds the program; `integral` bool[columns] or one for all."""
    from highspy import Highs, HighsStatus

    solver = Highs()
    # one thread and no clock: the same answer everywhere
    for name, value in {"output_flag": False, "threads": 1, "random_seed": 0, **options}.items():
        solver.setOptionValue(name, value)
    matrix = asked.matrix
    passed = solver.passModel(
        matrix.columns,
        matrix.rows,
        len(matrix.value),
        BY_ROWS if matrix.by_rows else BY_COLUMNS,
        MAXIMISE if asked.maximise else MINIMISE,
        0.0,
        asked.objective,
        asked.lower,
        asked.upper,
        asked.row_lower,
        asked.row_upper,
        matrix.start,
        matrix.index,
        matrix.value,
        np.ascontiguousarray(np.broadcast_to(np.asarray(integral, dtype=np.int32), matrix.columns)),
    )
    if passed == HighsStatus.kError:
        raise ValueError(
            "HiGHS refuses the program: a bound or a coefficient is no number, or shapes differ."
        )
    return solver


def status_of(solver: "Highs", has_point: bool) -> Status:
    """What HiGHS has proved; `has_point` says whether it holds a feasible point all the same."""
    from highspy import HighsModelStatus as Ended

    ended = solver.getModelStatus()
    if ended in (Ended.kOptimal, Ended.kModelEmpty):
        return Status.OPTIMAL
    if ended == Ended.kInfeasible:
        return Status.INFEASIBLE
    if ended in (Ended.kUnbounded, Ended.kUnboundedOrInfeasible):
        return Status.UNBOUNDED
    return Status.FEASIBLE if has_point else Status.UNKNOWN


def _floats(values: ArrayLike, length: int) -> Floats:
    array = np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=np.float64), length))
    if np.isnan(array).any():
        raise ValueError("A bound or a coefficient is no number.")
    return array
