"""How much work a solver may do, in steps of its own and never in seconds of a clock: the same answer everywhere."""

import msgspec

from suanli.domain.errors import UsageError

INSTALL = "Install it with: pip install 'suanli[solve]'"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`gap_max` (a fraction) lets exact solvers end early; `columns_max` and `intervals_max` bound the size of what
    they are given; `moves_max` is what annealing may try, about five million in a second; `deterministic_max` is
    CP-SAT's own measure, about two seconds of one core for 1."""

    gap_max: float = 0.0
    combinations_max: int = 2_000_000
    branch_nodes_max: int = 20_000
    moves_max: int = 50_000_000
    columns_max: int = 40_000
    intervals_max: int = 3_000
    deterministic_max: float = 3.0
    population: int = 48
    generations: int = 60


class NotSuited(UsageError):
    """This solver does not take such a problem."""

    code = "SL-NOT-SUITED"
