"""Shortest first, by whole or by remaining duration."""

import numpy as np

from suanli.policies.parts import Queue
from suanli.policies.table import Floats


def sjf(queue: Queue) -> Floats:
    """Shortest job first by declared or estimated duration; those of unknown duration go last. O(n).

    Least mean completion time on one machine when all arrive together (Smith 1956).
    """
    return np.where(np.isnan(queue.duration_s), np.inf, queue.duration_s)


def srtf(queue: Queue) -> Floats:
    """Shortest remaining time first: what is left after the work that checkpoints have saved; unknown last. O(n).

    Least mean completion time on one machine with free preemption (Schrage 1968).
    """
    return np.where(np.isnan(queue.remaining_s), np.inf, queue.remaining_s)
