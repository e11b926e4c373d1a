"""The solvers by name."""

import contextlib
from collections.abc import Mapping
from typing import Protocol

from suanli.domain.problem import PlacementProblem
from suanli.solvers.placement.answer import Answer
from suanli.solvers.placement.cp import cp, ortools
from suanli.solvers.placement.dp import dp
from suanli.solvers.placement.exhaustive import exhaustive
from suanli.solvers.placement.genetic import genetic, pymoo
from suanli.solvers.placement.greedy import greedy
from suanli.solvers.placement.limits import Limits, NotSuited
from suanli.solvers.placement.lp import lp
from suanli.solvers.placement.mip import mip


class Solver(Protocol):
    """Pure: the same problem, limits and seed give the same answer. Raises NotSuited for problems it does not
    take."""

    def __call__(self, problem: PlacementProblem, limits: Limits, seed: int) -> Answer: ...


def load_libraries() -> None:
    """Import and compile what the solvers use at first, so that a measured time is that of solving."""
    for load in (ortools, pymoo):
        with contextlib.suppress(NotSuited):  # the solver itself says so when it is asked
            load()


SOLVERS: Mapping[str, Solver] = {
    "greedy": greedy,
    "exhaustive": exhaustive,
    "dp": dp,
    "lp": lp,
    "mip": mip,
    "cp": cp,
    "genetic": genetic,
}
