"""What the parts of a policy look like."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Record
from suanli.policies.table import Ask, Floats, Indices, NodeTable


class Queue(msgspec.Struct, frozen=True, eq=False):
    """The eligible workloads, one row each. `duration_s` and `remaining_s` are NaN where nobody knows.

    `attained_s` is what it has had: seconds times devices, or cores where it uses none; `deadline_s` an instant, inf
    where there is none.
    """

    priority: Floats
    waited_s: Floats
    seq: NDArray[np.int64]
    duration_s: Floats
    remaining_s: Floats
    deadline_s: Floats
    attained_s: Floats


Order = Callable[[Queue], Floats]
"""Rank of each row, float[n]: lower goes first, ties go by submission."""

Allocate = Callable[[Record], Sequence[int]]
"""Numbers of nodes to try for a workload, the most wanted first, rising or falling. The least is needed at all."""

Place = Callable[[NodeTable, Ask, Indices, int], Indices]
"""From candidate nodes (all have room, at least `nodes` of them, in table order) the `nodes` to take."""


class Policy(msgspec.Struct, frozen=True):
    """One order, one allocation, one placement; `name` is `order+allocate+place`."""

    name: str
    order: Order
    allocate: Allocate
    place: Place
