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

LEVEL_S = 4 * 3600.0
"""Service in which nobody is told apart who has had less: four hours of one device."""


def shortest_remaining(sharing: Sharing) -> Indices:
    """Least work left first, each on the type that is worth most to it; runs until something happens.

    Shortest remaining processing time (Schrage 1968) with unequal types: the index of a job on a type is the square of
    its speed there, relative to its mean, over the device-seconds that it has left. Squared, as a fast type both ends a
    job earlier and is wasted on one that gains little by it. What nobody knows the length of is served as by
    `least-served`.
    """
    mean = mean_speed(sharing)
    left_s = sharing.remaining / np.where(mean > 0, mean, 1.0) * sharing.devices
    left_s = np.where(np.isnan(left_s), _expected_s(attained_s(sharing)), left_s)
    return _walk(sharing, _worth(sharing) / np.maximum(left_s, 1e-9)[:, None])


def least_served(sharing: Sharing) -> Indices:
    """Least service first, by doubling levels, each on the type that is worth most to it; needs no durations.

    Least attained service with discretised queues (Tiresias, NSDI 2019): what has had much is likely to need as much
    again. Queues end at 4, 8, 16 ... device-hours, so that nobody is stopped more often than its service doubles.
    """
    return _walk(sharing, _worth(sharing) / _expected_s(attained_s(sharing))[:, None])


def soonest_end(sharing: Sharing) -> Indices:
    """All end as early as the last one can: whoever needs most of a type goes first there, divided anew each time.

    The shares are those of `makespan`. As what is left is divided whenever something happens, what was done otherwise
    than planned is made up for, and the end stays within rounding of its bound. What nobody knows the length of is
    taken for as long as the others.
    """
    x = makespan(sharing)
    fallback = usable_speed(sharing) / np.maximum(usable_speed(sharing).max(axis=1, keepdims=True), 1e-300)
    return _walk(sharing, np.where(x > 1e-6, x, 0.0) + 1e-9 * fallback)


def _worth(sharing: Sharing) -> Floats:
    """float[n, m]: the squared ratio of the speed on each type to the job's mean."""
    mean = mean_speed(sharing)
    return np.square(usable_speed(sharing) / np.where(mean > 0, mean, 1.0)[:, None])


def _expected_s(service_s: Floats) -> Floats:
    """float[n]: as much more as the least of the level that each has reached, in levels that double."""
    return LEVEL_S * np.exp2(np.floor(np.log2(np.maximum(service_s / LEVEL_S, 1.0) + 1e-9)))


def _walk(sharing: Sharing, index: Floats) -> Indices:
    from suanli.policies.sharing.walk import first_with_room

    runs = np.flatnonzero(sharing.current >= 0)
    index = index.copy()
    index[runs, sharing.current[runs]] *= STAY
    pairs = np.argsort(-index, axis=None, kind="stable").astype(np.intp)
    return first_with_room(pairs, sharing.able, sharing.devices, sharing.capacity)
