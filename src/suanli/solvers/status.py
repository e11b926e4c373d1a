"""How an answer stands: what was proved, and what was not."""

from enum import StrEnum


class Status(StrEnum):
    """What a solver can say of its answer."""

    OPTIMAL = "optimal"
    """Nothing is better, within the gap that was asked for."""
    FEASIBLE = "feasible"
    """It holds; better ones may exist, none beyond the bound."""
    INFEASIBLE = "infeasible"
    """Proved: nothing satisfies the constraints."""
    UNBOUNDED = "unbounded"
    """Proved: the objective has no limit, so a constraint is missing."""
    UNKNOWN = "unknown"
    """The work limit came before an answer and before a proof that there is none."""
