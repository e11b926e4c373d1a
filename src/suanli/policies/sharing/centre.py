"""The analytic centre of all allocations that reach given speeds: among equals, the one farthest from every limit.

Where many allocations are equally good, a solver ends in a corner: one job has all of its time on one type, its equal
on another. At the centre every job has some time on every type on which nobody loses by it, equals have equal shares,
and no promise hangs on a single type. Solvers by interior points, such as that of Gavel's authors, end near it.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from suanli.policies.sharing.prices import Market
from suanli.policies.table import Bools, Floats, Indices

SLACK = 1e-6
"""By so much of their targets may speeds fall short, so that there is an inside where only one allocation is best."""

STEPS_MAX = 100
DECREMENT_MIN = 1e-9
"""Newton's decrement, squared: half of what there is still to gain."""

CONDITION_MIN = 1e-13
"""What is less than that part of the steepest curvature is lost in rounding; the step is shorter then, and no worse."""


class _Limits(msgspec.Struct, frozen=True, eq=False):
    """`speed[n, m]` in parts of the target; `count[n]` jobs are in a row, `devices[n, m]` are theirs together."""

    able: Bools
    wants: Bools
    speed: Floats
    devices: Floats
    capacity: Floats
    count: Floats


class _Slacks(msgspec.Struct, frozen=True, eq=False):
    """What is left to the limits: time float[n], speed float[n] (1 where none is asked for), devices float[m]."""

    time: Floats
    speed: Floats
    devices: Floats


def analytic_centre(market: Market, target: Floats, count: Floats, x: Floats) -> Floats:
    """Maximise the sum of the logarithms of all slacks by Newton's method, from `x[n, m]`, which reaches the targets.

    The slacks are x_ij, 1 - sum_j x_ij, N_j - sum_i s_i x_ij and sum_j speed_ij x_ij - target_i. Every step solves n
    systems of m unknowns and one more that joins them by the m types: O(n m³) for each of some 30 steps.
    """
    limits = _limits(market, target, count)
    x = (1.0 - SLACK / 2) * x + SLACK / 2 * _inside(limits)
    height = _height(limits, x)
    if height == -np.inf:
        return x
    for _ in range(STEPS_MAX):
        step, decrement = _newton(limits, x)
        if decrement < DECREMENT_MIN:
            break
        size, risen = _searched(
            lambda size, x=x, step=step: _height(limits, x + size * step), height, decrement
        )
        if size == 0.0:
            break
        x, height = x + size * step, risen
    return x


def _limits(market: Market, target: Floats, count: Floats) -> _Limits:
    able, wants = market.speed > 0, target > 0
    asked = np.where(able & wants[:, None], market.speed, 0.0)
    return _Limits(
        able=able,
        wants=wants,
        speed=asked / np.where(wants, target, 1.0)[:, None],
        devices=np.where(able, market.devices[:, None], 0.0),
        capacity=market.capacity,
        count=count,
    )


def _inside(limits: _Limits) -> Floats:
    """Half of every type at most, half of the time at most: away from all limits but those of speed."""
    m = len(limits.capacity)
    wanted = limits.devices.sum(axis=0)
    share = np.minimum(0.5 / m, 0.5 * limits.capacity / np.maximum(wanted, 1e-300))
    return np.where(limits.able, share, 0.0)


def _slacks(limits: _Limits, x: Floats) -> _Slacks:
    reached = (limits.speed * x).sum(axis=1)
    free = limits.capacity - (limits.devices * x).sum(axis=0)
    return _Slacks(
        time=1.0 - x.sum(axis=1),
        speed=np.where(limits.wants, reached - (1.0 - SLACK), 1.0),
        devices=np.where(limits.capacity > 0, free, 1.0),
    )


def _height(limits: _Limits, x: Floats) -> float:
    """The sum of the logarithms of all slacks; -inf outside."""
    left = _slacks(limits, x)
    used = np.where(limits.able, x, 1.0)
    slacks = (used, left.time, left.speed, left.devices)
    if min(float(slack.min(initial=np.inf)) for slack in slacks) <= 0:
        return -np.inf
    of_jobs = np.log(used).sum(axis=1) + np.log(left.time) + np.log(left.speed)
    return float(limits.count @ of_jobs + np.log(left.devices).sum())


def _searched(height_at: Callable[[float], float], height: float, decrement: float) -> tuple[float, float]:
    """How far to go along a step, halving until it pays (Armijo); 0 where it never does, for rounding."""
    size = 1.0
    while size > 1e-12:
        risen = height_at(size)
        if risen >= height + 0.1 * size * decrement:
            return size, risen
        size *= 0.5
    return 0.0, height


def _newton(limits: _Limits, x: Floats) -> tuple[Floats, float]:
    """The step and its decrement, squared. The types join the jobs by a matrix of rank m (Woodbury).

    Unknowns are relative to x, which spans many orders of magnitude.
    """
    n, m = x.shape
    left = _slacks(limits, x)
    own: Indices = np.arange(m, dtype=np.intp)
    able, weight, devices = limits.able, limits.count[:, None], limits.devices * x
    pull = limits.speed * x / left.speed[:, None]
    press = np.where(able, x / left.time[:, None], 0.0)
    gradient = weight * (able - press + pull) - devices / left.devices
    curve = press[:, :, None] * press[:, None, :] + pull[:, :, None] * pull[:, None, :]
    steepest = np.square(press).sum(axis=1) + np.square(pull).sum(axis=1)
    curve[:, own, own] += np.maximum(1.0, CONDITION_MIN * steepest)[:, None]
    sides = np.zeros((n, m, m + 1))
    sides[:, :, 0] = gradient
    sides[:, own, 1 + own] = devices
    solved: Floats = np.asarray(np.linalg.solve(weight[:, :, None] * curve, sides), dtype=np.float64)
    alone, joined = solved[:, :, 0], solved[:, :, 1:]
    shared = np.asarray(np.einsum("ij,ijk->jk", devices, joined), dtype=np.float64)
    types = np.diag(np.square(left.devices)) + shared
    common = np.asarray(np.linalg.solve(types, (devices * alone).sum(axis=0)), dtype=np.float64)
    step = alone - np.asarray(joined @ common, dtype=np.float64)
    return x * step, float((step * gradient).sum())
