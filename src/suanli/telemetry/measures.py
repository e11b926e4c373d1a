"""What an alert rule compares with its threshold: one number from (instant, value) points, oldest first.

Each function returns None where the points don't suffice.
"""

import math
import statistics
from collections.abc import Sequence

import numpy as np

Points = Sequence[tuple[float, float]]

_SPREAD_MIN = 0.01
"""Of the mean: a series that never moved isn't alarmed by its first hundredth."""

_ZSCORE_MAX = 1_000.0


def mean(points: Points) -> float | None:
    return statistics.fmean([value for _, value in points]) if points else None


def variance(points: Points) -> float | None:
    """Of the population, as Prometheus' stdvar_over_time."""
    return float(np.var([value for _, value in points])) if len(points) > 1 else None


def slope(points: Points) -> float | None:
    """Least-squares slope per second, as Prometheus' deriv."""
    if len(points) < 2:
        return None
    first_s, (times, values) = points[0][0], zip(*points, strict=True)
    try:
        return statistics.linear_regression([at_s - first_s for at_s in times], values).slope
    except statistics.StatisticsError:  # all at one instant
        return None


def zscore(points: Points, half_life_s: float) -> float | None:
    """Standard deviations of the newest value from the exponentially weighted mean of those before it.

    A value's weight halves every `half_life_s`, whatever the spacing (Finch, Incremental calculation of weighted mean
    and variance, 2009, section 9). Needs three points: two to have a spread, and the newest.
    """
    if len(points) < 3:
        return None
    (last_s, average), spread2 = points[0], 0.0
    for at_s, value in points[1:-1]:
        weight = 1 - 0.5 ** ((at_s - last_s) / half_life_s)
        difference = value - average
        average += weight * difference
        spread2 = (1 - weight) * (spread2 + weight * difference**2)
        last_s = at_s
    difference = points[-1][1] - average
    spread = max(math.sqrt(spread2), _SPREAD_MIN * abs(average))
    if spread == 0:
        return math.copysign(_ZSCORE_MAX, difference) if difference else 0.0
    return max(-_ZSCORE_MAX, min(_ZSCORE_MAX, difference / spread))
