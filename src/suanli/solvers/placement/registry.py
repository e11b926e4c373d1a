"""The solvers by name."""

from collections.abc import Mapping
from typing import Protocol

from suanli.domain.problem import PlacementProblem
from suanli.solvers.placement.answer import Answer
from suanli.solvers.placement.cp import cp
from suanli.solvers.placement.dp import dp
from suanli.solvers.placement.exhaustive import exhaustive
from suanli.solvers.placement.genetic import genetic
from suanli.solvers.placement.greedy import greedy
from suanli.solvers.placement.limits import Limits
from suanli.solvers.placement.lp import lp
from suanli.solvers.placement.mip import mip


class Solver(Protocol):
    """Pure: the same problem, limits and seed give the same answer. Raises NotSuited for problems it does not
    take."""

    def __call__(self, problem: PlacementProblem, limits: Limits, seed: int) -> Answer: ...


SOLVERS: Mapping[str, Solver] = {
    "greedy": greedy,
    "exhaustive": exhaustive,
    "dp": dp,
    "lp": lp,
    "mip": mip,
    "cp": cp,
    "genetic": genetic,
}
