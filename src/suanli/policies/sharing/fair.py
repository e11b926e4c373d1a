"""Max-min fairness over types of different speed (Gavel, OSDI 2020), in one level, by water-filling, by teams."""

from collections.abc import Callable

import numpy as np

from suanli.policies.sharing.levels import centred, fitted, raise_linear
from suanli.policies.sharing.prices import Market
from suanli.policies.sharing.values import Sharing, proportional_speed, runs_anywhere, usable_speed
from suanli.policies.table import Bools, Floats

FILLINGS_MAX = 200

Rates = Callable[[Bools], Floats]
"""How fast each job rises, by which of them still can."""


def max_min(sharing: Sharing) -> Floats:
    """The worst off runs as fast as possible, measured by an equal share of every type.

    max_X min_i s_i theta_i / (w_i theta_i^prop). Exact for up to 128 distinct jobs, else to 0.05 %, with proof.
    """
    able, market = _market(sharing)
    x = np.zeros(sharing.speed.shape)
    if able.any():
        n = int(able.sum())
        weight = sharing.weight[able]
        raised = raise_linear(market, np.zeros(n), weight, x[able])
        x[able] = centred(market, weight * raised.level, raised.x)
    return x


def water_filling(sharing: Sharing) -> Floats:
    """Max-min fairness, then again for those that can still gain, until nobody can without another losing."""
    able, market = _market(sharing)
    weight = sharing.weight[able]
    return _filled(sharing, able, market, lambda active: np.where(active, weight, 0.0))


def hierarchical(sharing: Sharing) -> Floats:
    """Max-min fairness among teams by weight, inside each among its jobs; water-filling.

    The weight of a job that can gain no more passes to the others of its team.
    """
    able, market = _market(sharing)
    weight, entity = sharing.weight[able], sharing.entity[able]

    def rates(active: Bools) -> Floats:
        mine = np.where(active, weight, 0.0)
        of_team = np.bincount(entity, weights=mine, minlength=len(sharing.entity_weight))
        return sharing.entity_weight[entity] * mine / np.maximum(of_team[entity], 1e-300)

    return _filled(sharing, able, market, rates)


def _market(sharing: Sharing) -> tuple[Bools, Market]:
    """Jobs that can run at all, and their speeds in units of an equal share of all types, times their gang."""
    speed = usable_speed(sharing)
    able = runs_anywhere(speed)
    scale = sharing.devices[able] / proportional_speed(sharing)[able]
    normal = np.ascontiguousarray(speed[able] * scale[:, None])
    return able, Market(normal, sharing.devices[able], sharing.capacity)


def _filled(sharing: Sharing, able: Bools, market: Market, rates: Rates) -> Floats:
    """Raise all, hold those that are stuck, go on with the rest. Each filling holds at least one job."""
    out = np.zeros(sharing.speed.shape)
    x = out[able]
    n = len(x)
    active: Bools = np.ones(n, dtype=np.bool_)
    base = np.zeros(n)
    for _ in range(FILLINGS_MAX):
        rate = rates(active)
        if not (rate > 0).any():
            break
        raised = raise_linear(market, base, rate, x)
        x = raised.x
        base = base + rate * max(raised.level, 0.0)
        stuck = raised.held & active
        if not stuck.any():
            break
        active &= ~stuck
    out[able] = centred(market, base, fitted(x, market))
    return out
