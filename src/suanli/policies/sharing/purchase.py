"""What each job pays, at given prices of the types, for running at a given speed. The inner loop of `prices`."""

import numpy as np
from numba import njit

from suanli.policies.table import Floats


@njit(cache=True)
def total_cost(
    speed: Floats, devices: Floats, price: Floats, target: Floats, slope: Floats
) -> tuple[float, float, Floats]:
    """Cost of all targets, how it rises with the level, and float[m] the devices of each type that it buys.

    `speed[n, m]`, `target[n]` <= the row's maximum, `slope[n]` = d target / d level. O(n m²).
    """
    n, m = speed.shape
    cost = 0.0
    rise = 0.0
    demand = np.zeros(m)
    for i in range(n):
        low, high, fraction, gradient = _cheapest(speed[i], price, target[i])
        if high < 0:
            continue
        demand[high] += devices[i] * fraction
        if low >= 0:
            demand[low] += devices[i] * (1.0 - fraction)
        rise += devices[i] * gradient * slope[i]
    for j in range(m):
        cost += demand[j] * price[j]
    return cost, rise, demand


@njit(cache=True)
def add_purchases(speed: Floats, price: Floats, target: Floats, share: float, x: Floats) -> None:
    """Add `share` times the cheapest fractions of time for the targets to `x[n, m]`. O(n m²)."""
    for i in range(speed.shape[0]):
        low, high, fraction, _ = _cheapest(speed[i], price, target[i])
        if high < 0:
            continue
        x[i, high] += share * fraction
        if low >= 0:
            x[i, low] += share * (1.0 - fraction)


@njit(cache=True)
def marginal_costs(speed: Floats, devices: Floats, price: Floats, target: Floats) -> Floats:
    """float[n]: what a little more speed would cost each job; inf where it runs as fast as it can already."""
    n = speed.shape[0]
    out = np.empty(n)
    for i in range(n):
        if target[i] >= speed[i].max() * (1.0 - 1e-9):
            out[i] = np.inf
        else:
            out[i] = devices[i] * _cheapest(speed[i], price, target[i] * (1.0 + 1e-9))[3]
    return out


@njit(cache=True)
def _cheapest(speed: Floats, price: Floats, target: float) -> tuple[int, int, float, float]:
    """The mix of at most two types that reaches the target at least cost: (slow, fast, time on the fast one, gradient).

    A point on the lower convex hull of (speed, price), walked from the origin, which is doing nothing (slow = -1):
    always on to the type with the least gradient, of equal ones the fastest, then the first. Whoever asks for more than
    its fastest type gives, be it by rounding, has all of that.
    """
    low = -1
    bottom, paid, gradient = 0.0, 0.0, 0.0
    while target > bottom:
        high, least, top = -1, np.inf, bottom
        for j in range(speed.shape[0]):
            if speed[j] > bottom:
                steepness = (price[j] - paid) / (speed[j] - bottom)
                if steepness < least or (steepness == least and speed[j] > top):
                    high, least, top = j, steepness, speed[j]
        if high < 0:
            return -1, low, 1.0, gradient
        gradient = least
        if top >= target:
            return low, high, (target - bottom) / (top - bottom), gradient
        low, bottom, paid = high, top, price[high]
    return -1, low, 1.0, gradient
