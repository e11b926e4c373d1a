"""Priority that grows while waiting."""

from typing import TypeVar

from suanli.policies.parts import Queue
from suanli.policies.table import Floats

AGEING_PER_HOUR = 10.0
"""Points of priority gained by each hour of waiting: 10 points of declared priority are worth one hour."""


Quantity = TypeVar("Quantity", float, Floats)


def priority(queue: Queue) -> Floats:
    """Highest priority first, where waiting raises it by 10 points an hour, so that nothing starves. O(n).

    A workload of priority p comes before every newcomer of priority q once it has waited (q - p)/10 hours, so after
    at most 10 hours it is ahead of all that arrive from then on, and what it starts with no newcomer may take away.
    That what is smaller fits past it all the while is bounded by the kernel (`kernel.patience`).
    """
    return -standing(queue.priority, queue.waited_s)


def standing(priority: Quantity, waited_s: Quantity) -> Quantity:
    """Points of a workload: what was declared, and what waiting has added.

    Work that runs keeps the standing that it started with: only a declared priority above it may preempt it. Else what
    waited its way to the front would be stopped by the very work that it had overtaken.
    """
    return priority + AGEING_PER_HOUR * waited_s / 3600.0
