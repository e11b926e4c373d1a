"""Allocations by sums: as much work as possible, or as much as possible for the money (Gavel, OSDI 2020)."""

import numpy as np

from suanli.policies.sharing.levels import base_rows, collapse, fitted
from suanli.policies.sharing.prices import Market
from suanli.policies.sharing.values import Sharing, usable_speed
from suanli.policies.table import Floats
from suanli.solvers.linear import LinearAnswer, Method, solve_lp
from suanli.solvers.matrix import matrix_of
from suanli.solvers.status import Status


def max_throughput(sharing: Sharing) -> Floats:
    """As much work per second as possible, summed over all jobs, whoever gets it.

    max sum theta_i, by linear programming.
    """
    return _most(sharing, np.ones(len(sharing.capacity)))


def min_cost(sharing: Sharing) -> Floats:
    """As much work for the money as possible; deadlines are met if all can be.

    max sum T_ij X_ij / price_j, by linear programming. A job with a deadline gets theta_i >= remaining_i /
    (time left); where not all can, none of these holds.
    """
    return _most(sharing, np.where(sharing.price > 0, sharing.price, 1.0))


def _most(sharing: Sharing, price: Floats) -> Floats:
    speed = usable_speed(sharing)
    if not speed.any():
        return np.zeros(speed.shape)
    least = _due(sharing)
    rows = collapse(speed, sharing.devices, least)
    first = rows.first
    market = Market(speed[first], sharing.devices[first] * rows.count, sharing.capacity)
    gain = rows.count[:, None] * market.speed / price
    answer = _solved(market, gain, least[first])
    if answer.status not in (Status.OPTIMAL, Status.FEASIBLE):
        answer = _solved(market, gain, np.zeros(len(first)))
    return fitted(answer.x.reshape(market.speed.shape), market)[rows.row]


def _due(sharing: Sharing) -> Floats:
    """float[n]: the speed that a deadline needs; 0 where there is none, or it has passed, or nobody knows."""
    left_s = sharing.deadline_left_s
    asks = np.isfinite(left_s) & (left_s > 0) & ~np.isnan(sharing.remaining)
    return np.where(asks, np.nan_to_num(sharing.remaining) / np.where(asks, left_s, 1.0), 0.0)


def _solved(market: Market, gain: Floats, least: Floats) -> LinearAnswer:
    n, m = market.speed.shape
    return solve_lp(
        gain.ravel(),
        matrix_of(2 * n + m, n * m, *base_rows(market)),
        np.concatenate([least, np.full(n + m, -np.inf)]),
        np.concatenate([np.full(n, np.inf), np.ones(n), market.capacity]),
        upper=np.where(market.speed > 0, 1.0, 0.0).ravel(),
        maximise=True,
        method=Method.INTERIOR_POINT,
        crossover=False,
    )
