"""Allocations by when jobs would finish, as far as that is known: fairness and makespan (Gavel, OSDI 2020)."""

import numpy as np

from suanli.policies.sharing.levels import centred, collapse, raise_linear
from suanli.policies.sharing.prices import Market, raise_level
from suanli.policies.sharing.values import Sharing, isolated_speed, runs_anywhere, usable_speed
from suanli.policies.table import Bools, Floats

FAIRNESS_TOLERANCE = 1e-4


def makespan(sharing: Sharing) -> Floats:
    """All jobs finish as early as the last one can.

    The smallest T with theta_i >= remaining_i / T. Where nobody knows what is left, it is taken for the mean
    of the others, on the job's fastest type.
    """
    speed, able = _able(sharing)
    x = np.zeros(sharing.speed.shape)
    if able.any():
        left = _left(sharing, speed[able], able)
        market = Market(
            np.ascontiguousarray(speed[able] / left[:, None]), sharing.devices[able], sharing.capacity
        )
        n = len(left)
        raised = raise_linear(market, np.zeros(n), np.ones(n), x[able])
        x[able] = centred(market, np.full(n, raised.level), raised.x)
    return x


def finish_time_fairness(sharing: Sharing) -> Floats:
    """The worst ratio of finish time to that with an equal share is as small as possible.

    min_X max_i (elapsed_i + left_i / theta_i) / (fair_i + left_i / theta_i^iso), to 0.01 %, by the price method: the
    speeds that a ratio asks for are convex in it. Where nobody knows what is left: as for the makespan.
    """
    speed, able = _able(sharing)
    x = np.zeros(sharing.speed.shape)
    if not able.any():
        return x
    left = _left(sharing, speed[able], able)
    elapsed_s = sharing.elapsed_s[able]
    isolated = isolated_speed(sharing)[able]
    fair_s = sharing.fair_s[able] + left / isolated
    rows = collapse(speed[able], sharing.devices[able], left, elapsed_s, fair_s)
    first = rows.first
    left, elapsed_s, fair_s, isolated = left[first], elapsed_s[first], fair_s[first], isolated[first]

    def targets(level: float) -> tuple[Floats, Floats]:
        spare_s = -level * fair_s - elapsed_s
        return left / spare_s, left * fair_s / spare_s**2

    mine = np.ascontiguousarray(speed[able][first])
    equal = _equal_share(sharing)[able][first]
    slowest = (mine * equal).sum(axis=1)
    worst = float(((elapsed_s + left / slowest) / fair_s).max())
    least = float(((elapsed_s + left / mine.max(axis=1)) / fair_s).max())
    market = Market(mine, sharing.devices[able][first] * rows.count, sharing.capacity)
    raised = raise_level(market, targets, start=equal, low=-worst, high=-least, tolerance=FAIRNESS_TOLERANCE)
    x[able] = centred(market, targets(raised.level)[0], raised.x)[rows.row]
    return x


def _able(sharing: Sharing) -> tuple[Floats, Bools]:
    speed = usable_speed(sharing)
    return speed, runs_anywhere(speed)


def _left(sharing: Sharing, speed: Floats, able: Bools) -> Floats:
    """Work left, positive; the unknown is as long as the mean of the known, or an hour."""
    left = sharing.remaining[able]
    left_s = left / speed.max(axis=1)
    known = ~np.isnan(left_s)
    mean_s = float(left_s[known].mean()) if known.any() else 3600.0
    return np.maximum(np.where(known, left, mean_s * speed.max(axis=1)), 1e-6 * speed.max(axis=1))


def _equal_share(sharing: Sharing) -> Floats:
    """x[n, m]: 1/n of every type that the job can use, at most all of its time."""
    share = np.where(sharing.able, sharing.capacity / (len(sharing.devices) * sharing.devices[:, None]), 0.0)
    return share / np.maximum(share.sum(axis=1, keepdims=True), 1.0)
