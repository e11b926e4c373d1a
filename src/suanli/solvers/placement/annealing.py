"""Simulated annealing (Kirkpatrick, Gelatt and Vecchi 1983) of who holds which block of lanes of which class.

What is annealed is the overflow: the seconds by which lanes end after an instant that is aimed at, summed over all.
"""

import msgspec
import numpy as np
from numba import njit

from suanli.solvers.placement.arrays import Floats, Integers

HOT, COLD = 1 / 30, 1 / 400
"""The first and last temperature, as parts of the instant aimed at: a gang of a few nodes may be late by a few
percent at first, at last a single lane by a few tenths."""
EXCHANGES, RELOCATIONS = 0.1, 0.3
"""Of all moves; the rest are swaps."""
COOLED_EVERY = 1000


class Lanes(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """int[M] `gangs` that are planned; int[G] `width` in lanes, 0 for all others; int[G, C] `pair_on`: the pair of a
    gang on a class, -1 for none; int[P] `node_class`, float[P] `duration_s`; int[C+1] `first_lane`."""

    gangs: Integers
    width: Integers
    pair_on: Integers
    node_class: Integers
    duration_s: Floats
    first_lane: Integers


def annealed(
    lanes: Lanes, aim_s: float, moves_max: int, pair: Integers, block: Integers, rng: np.random.Generator
) -> tuple[int, Integers, Integers]:
    """From the state (int[G] `pair`, int[G] `block`, its first lane), the number of moves made and the state of least
    overflow among all that were met; ends when there is none. O(moves_max · widest gang)."""
    best_pair, best_block = pair.copy(), block.copy()
    made = _anneal(
        rng,
        moves_max,
        aim_s,
        (lanes.gangs, lanes.width, lanes.pair_on, lanes.node_class, lanes.duration_s, lanes.first_lane),
        (pair.copy(), block.copy(), np.zeros(int(lanes.first_lane[-1]))),
        (best_pair, best_block),
    )
    return int(made), best_pair, best_block


# What follows is compiled. `plan` = the fields of `Lanes` in their order; `state` = pair, block, float[lanes] load_s.
# A move is proposed as the gang, pair and block of each gang that changes: rows of int[M, 3] `tried`, of which the
# first `count` are in use; 0 of them: no move.


@njit(cache=True)
def _anneal(rng, moves_max, aim, plan, state, best):  # noqa: ANN001, ANN202
    gangs, width = plan[0], plan[1]
    overflow = 0.0
    for g in gangs:
        overflow += _shift(state[2], state[1][g], width[g], plan[4][state[0][g]], aim)
    least, heat = overflow, HOT * aim
    cooling = (COLD / HOT) ** (COOLED_EVERY / moves_max)
    tried = np.empty((len(gangs), 3), dtype=np.int64)
    taken = np.empty(len(state[2]), dtype=np.bool_)
    move = 0
    while move < moves_max and least > 1e-6:
        move += 1
        if move % COOLED_EVERY == 0:
            heat *= cooling
        g, kind = gangs[rng.integers(0, len(gangs))], rng.random()
        if kind < EXCHANGES:
            move += len(gangs) // 16  # it looks at all gangs
            count = _exchange(rng, g, plan, state, tried, taken)
        elif kind < EXCHANGES + RELOCATIONS:
            count = _relocation(rng, g, plan, state, tried)
        else:
            count = _swap(rng, g, plan, state, tried)
        if not _short_enough(plan, tried, count, aim):
            continue
        added = _carry_out(plan, state, tried, count, aim)
        if added <= 0 or rng.random() < np.exp(-added / heat):
            overflow += added
            if overflow < least - 1e-6:
                least = overflow
                best[0][:], best[1][:] = state[0], state[1]
        else:
            _carry_out(plan, state, tried, count, aim)
    return move


@njit(cache=True)
def _relocation(rng, g, plan, state, tried):  # noqa: ANN001, ANN202
    """To another block, on the same class or another."""
    c = rng.integers(0, plan[2].shape[1])
    blocks = (plan[5][c + 1] - plan[5][c]) // plan[1][g]
    if plan[2][g, c] < 0 or blocks == 0:
        return 0
    _try(tried, 0, g, plan[2][g, c], plan[5][c] + plan[1][g] * rng.integers(0, blocks))
    return 1


@njit(cache=True)
def _swap(rng, g, plan, state, tried):  # noqa: ANN001, ANN202
    """With another of the same width."""
    h = plan[0][rng.integers(0, len(plan[0]))]
    to_g = plan[2][g, plan[3][state[0][h]]]
    to_h = plan[2][h, plan[3][state[0][g]]]
    if h == g or plan[1][h] != plan[1][g] or to_g < 0 or to_h < 0:
        return 0
    _try(tried, 0, g, to_g, state[1][h])
    _try(tried, 1, h, to_h, state[1][g])
    return 2


@njit(cache=True)
def _exchange(rng, g, plan, state, tried, taken):  # noqa: ANN001, ANN202
    """With narrower ones, at most one on each lane, that lie within the block of its width around one of them."""
    width, first = plan[1], plan[5]
    around = plan[0][rng.integers(0, len(plan[0]))]
    here, there = plan[3][state[0][g]], plan[3][state[0][around]]
    low = first[there] + (state[1][around] - first[there]) // width[g] * width[g]
    inside = low != state[1][g] and low + width[g] <= first[there + 1]
    if width[around] >= width[g] or plan[2][g, there] < 0 or not inside:
        return 0
    _try(tried, 0, g, plan[2][g, there], low)
    taken[low : low + width[g]] = False
    count, turn = 1, rng.integers(0, len(plan[0]))
    for k in range(-1, len(plan[0])):
        h = around if k < 0 else plan[0][(turn + k) % len(plan[0])]
        at, end = state[1][h], state[1][h] + width[h]
        if width[h] >= width[g] or at < low or end > low + width[g] or plan[2][h, here] < 0:
            continue
        if not taken[at:end].any():
            taken[at:end] = True
            _try(tried, count, h, plan[2][h, here], at - low + state[1][g])
            count += 1
    return count


@njit(cache=True)
def _try(tried, row, g, pair, block):  # noqa: ANN001, ANN202
    tried[row, 0], tried[row, 1], tried[row, 2] = g, pair, block


@njit(cache=True)
def _short_enough(plan, tried, count, aim):  # noqa: ANN001, ANN202
    """Whether there is a move, and no gang goes where it alone takes longer than is aimed at."""
    for k in range(count):
        if plan[4][tried[k, 1]] > aim:
            return False
    return count > 0


@njit(cache=True)
def _carry_out(plan, state, tried, count, aim):  # noqa: ANN001, ANN202
    """By how much the overflow grows. Leaves in `tried` where each was, so that the same again takes it back."""
    pair, block, load = state
    added = 0.0
    for k in range(count):
        g = tried[k, 0]
        added += _shift(load, block[g], plan[1][g], -plan[4][pair[g]], aim)
    for k in range(count):
        g = tried[k, 0]
        pair[g], tried[k, 1] = tried[k, 1], pair[g]
        block[g], tried[k, 2] = tried[k, 2], block[g]
        added += _shift(load, block[g], plan[1][g], plan[4][pair[g]], aim)
    return added


@njit(cache=True)
def _shift(load, low, width, by, aim):  # noqa: ANN001, ANN202
    """Add `by` seconds to each lane of a block; by how much the overflow grows."""
    added = 0.0
    for lane in range(low, low + width):
        added += max(0.0, load[lane] + by - aim) - max(0.0, load[lane] - aim)
        load[lane] += by
    return added
