"""Who runs where now, decided whenever something happens: our own policies of sharing over time.

They have no rounds: no device waits for the end of one, and nobody is stopped because a turn is over. Every job has an
index for each type, pairs are taken by falling index while there is room, and whoever runs keeps its place unless
another one's index is clearly higher. Rows must be in order of submission, which is how ties go. O(n m log n).
"""

import numpy as np

from suanli.policies.sharing.finish import makespan
from suanli.policies.sharing.values import Sharing, attained_s, mean_speed, usable_speed
from suanli.policies.table import Floats, Indices

STAY = 1.5
"""With half as much left again as another, one that runs is not yet stopped for it."""

STAY_LEVEL = 2.0
"""What has had no more than twice another's service is not stopped for it: one level of the doubling queues."""


def shortest_remaining(sharing: Sharing) -> Indices:
    """Least work left first, each on the type that is worth most to it; runs until something happens.

    Shortest remaining processing time (Schrage 1968) with unequal types: the index of a job on a type is the square of
    its speed there, relative to its mean, over the device-seconds that it has left. Squared, as a fast type both ends a
    job earlier and is wasted on one that gains little by it. What nobody knows the length of has as much left as it has
    had (it is served as by `least-served`).
    """
    mean = mean_speed(sharing)
    left_s = sharing.remaining / np.where(mean > 0, mean, 1.0) * sharing.devices
    left_s = np.where(np.isnan(left_s), _level_s(attained_s(sharing)), left_s)
    return _walk(sharing, _worth(sharing) / np.maximum(left_s, 1e-9)[:, None], STAY)


def least_served(sharing: Sharing) -> Indices:
    """Least service first, by doubling levels, each on the type that is worth most to it; needs no durations.

    Least attained service with discretised queues (Tiresias, NSDI 2019), for which durations need not be known. The
    queues end at 2, 4, 8 ... times the mean service of all that are there, so there is nothing to tune; worth as in
    `shortest-remaining`.
    """
    level_s = _level_s(attained_s(sharing))
    return _walk(sharing, _worth(sharing) / level_s[:, None], STAY_LEVEL)


def soonest_end(sharing: Sharing) -> Indices:
    """All end as early as the last one can: the shares that the makespan needs, worked off largest first.

    What is left is divided anew each time, so that the plan never falls behind its bound. Needs durations.
    """
    x = makespan(sharing)
    fallback = usable_speed(sharing) / np.maximum(usable_speed(sharing).max(axis=1, keepdims=True), 1e-300)
    return _walk(sharing, np.where(x > 1e-6, x, 0.0) + 1e-9 * fallback, 1.0)


def _worth(sharing: Sharing) -> Floats:
    """float[n, m]: the squared ratio of the speed on each type to the job's mean."""
    mean = mean_speed(sharing)
    return np.square(usable_speed(sharing) / np.where(mean > 0, mean, 1.0)[:, None])


def _level_s(service_s: Floats) -> Floats:
    """float[n]: the service at which the level of each begins, of levels that double from the mean on."""
    mean_s = max(float(service_s.mean()) if len(service_s) else 0.0, 1.0)
    return mean_s * np.exp2(np.floor(np.log2(np.maximum(service_s / mean_s, 1.0) + 1e-9)))


def _walk(sharing: Sharing, index: Floats, stay: float) -> Indices:
    from suanli.policies.sharing.walk import first_with_room

    runs = np.flatnonzero(sharing.current >= 0)
    index = index.copy()
    index[runs, sharing.current[runs]] *= stay
    pairs = np.argsort(-index, axis=None, kind="stable").astype(np.intp)
    return first_with_room(pairs, sharing.able, sharing.devices, sharing.capacity)
