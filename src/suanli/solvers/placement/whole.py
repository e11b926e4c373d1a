"""Amounts as whole numbers, for the solvers that count."""

import msgspec
import numpy as np

from suanli.solvers.placement.arrays import FIT_TOLERANCE, Arrays, Floats, Integers

PARTS = 5040
"""Parts of one that shares are told apart by: thirds, quarters, fifths, sixths, sevenths, eighths, ninths, tenths."""
LARGE = 1e9
"""Beyond, as with bytes, amounts are whole numbers already."""


class Whole(msgspec.Struct, frozen=True, eq=False):
    """int[P, R] `demand` and int[C, R] `capacity` in the same units of each resource."""

    demand: Integers
    capacity: Integers


def whole_amounts(arrays: Arrays) -> Whole:
    """Demands rounded up and capacities down, so that what fits here fits there; amounts in PARTS of one, or, where
    large, in ones, are exact. Divided by what is common to all of a resource."""
    demand = np.empty(arrays.demand.shape, dtype=np.int64)
    capacity = np.empty(arrays.capacity.shape, dtype=np.int64)
    for r in range(arrays.demand.shape[1]):
        parts = 1 if arrays.capacity[:, r].max(initial=0.0) >= LARGE else PARTS
        demand[:, r] = _up(arrays.demand[:, r] * parts)
        capacity[:, r] = -_up(-arrays.capacity[:, r] * parts)
        common = int(np.gcd.reduce(demand[:, r])) if len(demand) else 0
        if common > 1:
            demand[:, r] //= common
            capacity[:, r] //= common
    return Whole(demand, capacity)


def _up(amounts: Floats) -> Integers:
    return np.ceil(amounts - FIT_TOLERANCE * np.maximum(np.abs(amounts), 1.0)).astype(np.int64)
