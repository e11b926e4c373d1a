"""`solve_mip`: mixed-integer programs from arrays, with the bound that branch and bound has proved."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from suanli.solvers.highs import Program, loaded, program, status_of
from suanli.solvers.matrix import Floats, SparseMatrix
from suanli.solvers.status import Status

if TYPE_CHECKING:
    from highspy import Highs

NODES_MAX = 100_000
GAP_MAX = 1e-6


class MixedAnswer(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """`x` float[columns], integral columns rounded; zeros where no point was found.

    No feasible point is better than `bound`. `gap` = |objective - bound| / |objective|, infinite without a point.
    """

    status: Status
    x: Floats
    objective: float
    bound: float
    gap: float
    nodes: int


def solve_mip(
    objective: ArrayLike,
    matrix: SparseMatrix,
    row_lower: ArrayLike = -np.inf,
    row_upper: ArrayLike = np.inf,
    lower: ArrayLike = 0.0,
    upper: ArrayLike = np.inf,
    *,
    integral: ArrayLike = True,
    maximise: bool = False,
    gap_max: float = GAP_MAX,
    nodes_max: int = NODES_MAX,
    start: Floats | None = None,
) -> MixedAnswer:
    """Minimise (or maximise) objective·x, the columns with `integral` (one for all, or bool[columns]) whole numbers.

    Ends at a relative gap of `gap_max` or after `nodes_max` nodes, never by a clock. `start` float[columns] is a
    point to begin with.
    """
    asked = program(objective, matrix, row_lower, row_upper, lower, upper, maximise)
    options = {"mip_rel_gap": gap_max, "mip_abs_gap": 1e-9, "mip_max_nodes": nodes_max}
    solver = loaded(asked, integral, options)
    if start is not None:
        _begin_with(solver, start)
    solver.run()
    return _answer(solver, asked, integral)


def _answer(solver: "Highs", asked: Program, integral: ArrayLike) -> MixedAnswer:
    info = solver.getInfo()
    has_point = info.primal_solution_status == 2
    status = status_of(solver, has_point)
    open_end = np.inf if asked.maximise else -np.inf
    if not has_point:
        bound = open_end if status == Status.UNBOUNDED else float(info.mip_dual_bound)
        empty = np.zeros(asked.matrix.columns)
        return MixedAnswer(status=status, x=empty, objective=np.nan, bound=bound, gap=np.inf, nodes=0)
    x = np.array(solver.getSolution().col_value, dtype=np.float64)
    x = np.where(np.asarray(integral, dtype=np.bool_), np.round(x), x)
    value = float(asked.objective @ x)
    # without integral columns HiGHS proves optimality, and reports no bound of a search
    proved = float(info.mip_dual_bound) if np.any(integral) else value
    bound = max(proved, value) if asked.maximise else min(proved, value)
    gap = 0.0 if bound == value else abs(value - bound) / max(abs(value), 1e-12)
    nodes = max(int(info.mip_node_count), 0)
    return MixedAnswer(status=status, x=x, objective=value, bound=bound, gap=gap, nodes=nodes)


def _begin_with(solver: "Highs", start: Floats) -> None:
    from highspy import HighsSolution

    solution = HighsSolution()
    solution.col_value = list(start)
    solver.setSolution(solution)
