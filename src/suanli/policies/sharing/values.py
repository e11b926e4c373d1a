"""`Sharing`: the jobs and accelerator types that an allocation divides, as arrays; and what it answers."""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.policies.table import Bools, Floats, Indices


class Sharing(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """n jobs, running or waiting, one row each, and m accelerator types.

    `speed[n, m]` is the work that the whole job gets done in a second on that type, 0 where it cannot run;
    `devices[n]` the size of its gang; `remaining[n]` its work left, NaN where nobody knows; `elapsed_s[n]` the time
    since it arrived, `fair_s[n]` the time that what it has done would have taken with an equal share of the fleet;
    `done[n]` is work, `deadline_left_s[n]` inf without one. `entity[n]` is an index into `entity_weight`. `current[n]`
    is the type that it runs on, -1 for none. `capacity[m]` counts devices, `price[m]` is money per device-hour.
    """

    speed: Floats
    devices: Floats
    weight: Floats
    entity: Indices
    entity_weight: Floats
    remaining: Floats
    elapsed_s: Floats
    fair_s: Floats
    done: Floats
    current: Indices
    seq: NDArray[np.int64]
    deadline_left_s: Floats
    capacity: Floats
    price: Floats

    @property
    def able(self) -> Bools:
        """bool[n, m]: the job can run there at all, and its gang is not larger than the type."""
        return (self.speed > 0) & (self.devices[:, None] <= self.capacity[None, :])


Allocation = Callable[[Sharing], Floats]
"""X[n, m]: the fraction of time that each job should run on each type. Rows sum to at most 1, and the devices of a
type, weighted by gang sizes, to at most its capacity."""


Choice = Callable[[Sharing], Indices]
"""The type on which each job should run now, int[n], -1 for none."""


def usable_speed(sharing: Sharing) -> Floats:
    """float[n, m]: speeds, 0 where the job cannot run."""
    return np.where(sharing.able, sharing.speed, 0.0)


def runs_anywhere(speed: Floats) -> Bools:
    """bool[n]: the job has some type on which it can run."""
    return np.asarray((speed > 0).any(axis=1), dtype=np.bool_)


def proportional_speed(sharing: Sharing) -> Floats:
    """float[n]: the speed of each job that is given every type in proportion to its number of devices (Gavel)."""
    share = sharing.capacity / max(float(sharing.capacity.sum()), 1.0)
    return (sharing.speed * share).sum(axis=1)


def isolated_speed(sharing: Sharing) -> Floats:
    """float[n]: the speed of each job that is given its 1/n of every type, and never more than all of its time."""
    n = max(len(sharing.devices), 1)
    share = sharing.capacity[None, :] / (n * sharing.devices[:, None])
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1.0)
    return (sharing.speed * share).sum(axis=1)


def mean_speed(sharing: Sharing) -> Floats:
    """float[n]: the mean over all types, 0 where it cannot run."""
    return usable_speed(sharing).sum(axis=1) / max(len(sharing.capacity), 1)


def attained_s(sharing: Sharing) -> Floats:
    """float[n]: the service that each job has had, in seconds of a device of mean speed times its devices."""
    mean = mean_speed(sharing)
    return sharing.done / np.where(mean > 0, mean, 1.0) * sharing.devices
