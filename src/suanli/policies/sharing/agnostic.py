"""Allocations by one who does not know which types of accelerators are faster."""

import msgspec
import numpy as np

from suanli.policies.sharing.levels import centred
from suanli.policies.sharing.prices import Market
from suanli.policies.sharing.values import Allocation, Sharing
from suanli.policies.table import Floats


def agnostic(allocation: Allocation) -> Allocation:
    """The same allocation by one who takes all types on which a job runs for as fast as its fastest.

    All types then are one pool. The time that a job gets of it is spread over the types that it can use, at the centre
    of all ways to do so; where very many jobs differ, by the types' numbers of devices.
    """

    def decide(sharing: Sharing) -> Floats:
        x = _spread(sharing, allocation(_pooled(sharing)))
        alike = Market(np.where(sharing.able, 1.0, 0.0), sharing.devices, sharing.capacity)
        return centred(alike, x.sum(axis=1), x)

    decide.__doc__ = f"{(allocation.__doc__ or '').strip().splitlines()[0]} Speeds are ignored."
    return decide


def believed(sharing: Sharing) -> Sharing:
    """The same jobs as the agnostic see them."""
    fastest = sharing.speed.max(axis=1, keepdims=True, initial=0.0)
    return msgspec.structs.replace(sharing, speed=np.repeat(fastest, len(sharing.capacity), axis=1))


def _pooled(sharing: Sharing) -> Sharing:
    total = sharing.capacity.sum(keepdims=True)
    fastest = np.where(sharing.able, sharing.speed, 0.0).max(axis=1, keepdims=True, initial=0.0)
    price = (sharing.price @ sharing.capacity) / np.maximum(total, 1.0)
    return msgspec.structs.replace(sharing, speed=fastest, capacity=total, price=price)


def _spread(sharing: Sharing, time: Floats) -> Floats:
    """`time`, float[n, 1] of the pool, in proportion to the devices of the types that each job can use."""
    part = np.where(sharing.able, sharing.capacity, 0.0)
    part /= np.maximum(part.sum(axis=1, keepdims=True), 1e-300)
    used = sharing.devices @ (time * part)
    return time * part * np.minimum(1.0, sharing.capacity / np.maximum(used, 1e-300))
