"""What a simulation is given: who arrives when, and what there truly is to do."""

import msgspec

from suanli.domain.workload import Workload


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One workload and its arrival, seconds from the beginning of the trace.

    `work` is what there truly is to do, in the workload's own units: seconds where it declares no `speeds`. The policy
    never sees it, unless the simulation is told to let it (`Conditions`).
    """

    at_s: float
    workload: Workload
    work: float


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Arrivals in order of time, ties in the order of the file."""

    name: str
    arrivals: tuple[Arrival, ...]


NOBODY = Trace(name="", arrivals=())
"""Nobody comes."""
