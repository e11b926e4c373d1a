"""Who is most likely to end soon for what it will still take, by what has ended before."""

import numpy as np

from suanli.policies.parts import Queue
from suanli.policies.table import Floats


def gittins(queue: Queue) -> Floats:
    """Highest Gittins index first: chance to end within a time, over the time that takes, by what has ended before.

    Gittins 1979; for training jobs Gu et al. 2019 (Tiresias, NSDI). Least mean completion time on one machine where
    only the distribution of services is known. While nothing has ended, least service first; what has had more than
    anything before it goes last. O(n log n + u·s) for u distinct services had and the s <= 1,000 that ended last.
    """
    services_s = queue.services_s()
    if not len(services_s):
        return queue.attained_s
    had_s, row = np.unique(queue.attained_s, return_inverse=True)
    return -np.array([index_of(float(had), services_s) for had in had_s])[row]


def index_of(had_s: float, services_s: Floats) -> float:
    """max over D of P(ends within D more) / E(what it takes until then, at most D), for `services_s` in rising order.

    The maximum is where some service ends, as the chance rises only there. O(s).
    """
    left_s = services_s[np.searchsorted(services_s, had_s, side="right") :] - had_s
    if not len(left_s):
        return 0.0
    ended = np.arange(1, len(left_s) + 1)
    taken_s = np.cumsum(left_s) + left_s * (len(left_s) - ended)
    return float((ended / taken_s).max())
