"""The multiple-choice knapsack: of each gang one option, or none where it may be left out."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.solvers.placement.arrays import Arrays, Floats, Integers


class Knapsack(msgspec.Struct, frozen=True):
    """The least score, and the pairs that have it; inf and None where the gangs that must run do not fit."""

    score: float
    pairs: tuple[int, ...] | None


def filled(arrays: Arrays, demand: Integers, capacity: Integers) -> Knapsack:
    """`demand` int[P, D] and `capacity` int[D] in whole units. O(P · product of capacities)."""
    shape = tuple(int(c) + 1 for c in capacity)
    least = np.zeros(shape)
    taken: list[NDArray[np.int16]] = []
    for gang in range(arrays.gangs):
        least, choice = _with_gang(arrays, gang, least, demand)
        taken.append(choice)
    if not math.isfinite(least.flat[-1]):
        return Knapsack(math.inf, None)
    return Knapsack(float(least.flat[-1]), tuple(_traced(arrays, taken, demand, capacity)))


def _with_gang(
    arrays: Arrays, gang: int, least: Floats, demand: Integers
) -> tuple[Floats, NDArray[np.int16]]:
    """The table of least scores by room, one gang further, and which of its options (-1: none) has it in each
    cell."""
    after = least.copy() if arrays.objective.may_leave_out else np.full(least.shape, np.inf)
    choice = np.full(least.shape, -1, dtype=np.int16)
    for k, pair in enumerate(arrays.pairs_of(gang)):
        need = demand[pair]
        if (need >= least.shape).any():
            continue
        there = tuple(slice(int(n), None) for n in need)
        before = tuple(slice(0, size - int(n)) for n, size in zip(need, least.shape, strict=True))
        score = least[before] + arrays.pair_score[pair]
        better = score < after[there]
        after[there][better] = score[better]
        choice[there][better] = k
    return after, choice


def _traced(
    arrays: Arrays, taken: Sequence[NDArray[np.int16]], demand: Integers, capacity: Integers
) -> list[int]:
    room, pairs = np.array(capacity), list[int]()
    for gang in reversed(range(arrays.gangs)):
        k = int(taken[gang][tuple(room)])
        if k >= 0:
            pairs.append(int(arrays.first_pair[gang]) + k)
            room = room - demand[pairs[-1]]
    return pairs[::-1]
