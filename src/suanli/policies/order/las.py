"""Least attained service, in queues."""

import numpy as np

from suanli.policies.parts import Queue
from suanli.policies.table import Floats

LIMITS_S = (3_250.0, 7_200.0, 18_000.0)
"""Device-seconds at which the first three of four queues end, as in the simulator of the authors of Tiresias."""


def las(queue: Queue) -> Floats:
    """Least attained service first, in four queues (Tiresias); first in, first out inside each. O(n).

    Gu et al. 2019 (NSDI). Needs no durations: what has had little is more likely to be short. The queues keep what is
    alike from taking turns for nothing. What waits longest is not promoted here: the kernel's patience bounds its wait.
    """
    return np.searchsorted(np.array(LIMITS_S), queue.attained_s, side="right").astype(np.float64)
