"""Priority that grows while waiting."""

from suanli.policies.parts import Queue
from suanli.policies.table import Floats

AGEING_PER_HOUR = 10.0
"""Points of priority gained by each hour of waiting: 10 points of declared priority are worth one hour."""


def priority(queue: Queue) -> Floats:
    """Highest priority first, where waiting raises it by 10 points an hour, so that nothing starves. O(n).

    A workload of priority p comes before every newcomer of priority q once it has waited (q - p)/10 hours, so after
    at most 10 hours it is ahead of all that arrive from then on. Preemption looks at the declared priority alone.
    """
    return -(queue.priority + AGEING_PER_HOUR * queue.waited_s / 3600.0)
