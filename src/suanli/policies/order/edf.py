"""Earliest deadline first."""

from suanli.policies.parts import Queue
from suanli.policies.table import Floats


def edf(queue: Queue) -> Floats:
    """Earliest deadline first; what has none goes last, by submission. O(n).

    On one machine, where all arrive together, no order makes the worst lateness smaller (Jackson 1955). A deadline that
    has passed still counts: whoever is late shall not be later than need be.
    """
    return queue.deadline_s
