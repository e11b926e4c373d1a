"""List scheduling: gangs one by one in a given order, each as early as it fits, on the nodes that it fills best.

The common ground of the heuristics: greedy gives it orders, the linear relaxation a choice of classes, the genetic
search both. With capacity shared by several gangs at a time this is the serial schedule generation scheme of project
scheduling (Kolisch 1996): for some order and choice of nodes it yields an optimum of the completion time.
"""

import numpy as np
from numba import njit

from suanli.solvers.placement.answer import Chosen
from suanli.solvers.placement.arrays import FIT_TOLERANCE, Arrays, Floats, Integers

NOWHERE = -1


def listed(
    arrays: Arrays, order: Integers, preference: Floats, *, strict: bool = False
) -> tuple[Chosen, ...] | None:
    """Choices for the gangs in int[G] `order`, or None where one that must run found no room.

    Each gang takes the option that adds least to the score, of equal ones that which ends first, then that of the
    lowest float[P] `preference`; `strict`: the one of the lowest preference of those that fit, of equal ones that which
    ends first. Of nodes, opened ones first, then those with the least left over, then the first.
    O(G² N R) where all begin at 0, else up to O(G³ N R).
    """
    if not arrays.pairs:
        return () if not arrays.gangs or arrays.objective.may_leave_out else None
    pair = np.full(arrays.gangs, NOWHERE, dtype=np.int64)
    start = np.zeros(arrays.gangs, dtype=np.int64)
    nodes = np.full((arrays.gangs, int(arrays.size.max())), NOWHERE, dtype=np.int64)
    objective = arrays.objective
    placed_all = _run(
        np.asarray(order, dtype=np.int64),
        np.asarray(preference, dtype=np.float64),
        (strict, objective.may_wait, objective.may_leave_out, objective.time_weight),
        (
            arrays.size,
            arrays.first_pair,
            arrays.node_class,
            arrays.duration_s,
            arrays.pair_score,
            arrays.demand,
        ),
        (
            arrays.first_node,
            arrays.opening_score,
            arrays.capacity,
            arrays.capacity * (1 + FIT_TOLERANCE) + FIT_TOLERANCE,
        ),
        (pair, start, nodes),
    )
    if not placed_all and not objective.may_leave_out:
        return None
    return tuple(
        Chosen(int(pair[g]), tuple(int(n) for n in nodes[g, : arrays.size[g]]), int(start[g]))
        for g in range(arrays.gangs)
        if pair[g] != NOWHERE
    )


# What follows is compiled. `rules` = strict, may wait, may leave out, time weight; `work` and `fleet` are arrays of
# `Arrays`; `profile` = instants int[K], used float[K, N, R] from each instant to the next, opened bool[N]; the number
# of instants in use is int[1] `instants`.


@njit(cache=True)
def _run(order, preference, rules, work, fleet, out):  # noqa: ANN001, ANN202
    gangs, nodes = len(work[0]), fleet[0][-1]
    instants = np.ones(1, dtype=np.int64)
    profile = (
        np.zeros(gangs + 2, dtype=np.int64),
        np.zeros((gangs + 2, nodes, work[5].shape[1])),
        np.zeros(nodes, dtype=np.bool_),
    )
    completion, placed_all = 0, True
    for gang in order:
        pair, at = _best(gang, preference, rules, work, fleet, instants, profile, completion)
        if pair < 0:
            placed_all = False
            continue
        end = at + work[3][pair] if rules[1] else 1
        free = _free(pair, at, end, work, fleet, instants, profile)
        _take(pair, at, end, work[0][gang], free, work, fleet, instants, profile, out[2][gang])
        out[0][gang], out[1][gang] = pair, at
        completion = max(completion, end)
    return placed_all


@njit(cache=True)
def _best(gang, preference, rules, work, fleet, instants, profile, completion):  # noqa: ANN001, ANN202
    """The pair of the gang to take, and when; -1 where none fits, or none is worth it."""
    best, best_at, least, first_end, liked = -1, 0, np.inf, 0, np.inf
    for pair in range(work[1][gang], work[1][gang + 1]):
        at = _earliest(pair, work[0][gang], rules[1], work, fleet, instants, profile)
        if at < 0:
            continue
        end = at + work[3][pair]
        added = work[4][pair] + rules[3] * max(0, end - completion)
        if rules[2] and added >= 0:
            continue
        if rules[0]:
            better = preference[pair] < liked or (preference[pair] == liked and end < first_end)
        elif abs(added - least) > 1e-12:
            better = added < least
        else:
            better = end < first_end or (end == first_end and preference[pair] < liked)
        if better:
            best, best_at, least, first_end, liked = pair, at, added, end, preference[pair]
    return best, best_at


@njit(cache=True)
def _earliest(pair, size, may_wait, work, fleet, instants, profile):  # noqa: ANN001, ANN202
    """The first instant from which `size` nodes of the class have room for as long as it takes; -1: none."""
    for k in range(instants[0] if may_wait else 1):
        at = profile[0][k]
        end = at + work[3][pair] if may_wait else 1
        roomy, node = 0, fleet[0][work[2][pair]]
        while node < fleet[0][work[2][pair] + 1] and roomy < size:
            if _left_over(pair, node, k, end, work, fleet, instants, profile) >= 0:
                roomy += 1
            node += 1
        if roomy == size:
            return at
    return -1


@njit(cache=True)
def _left_over(pair, node, first, end, work, fleet, instants, profile):  # noqa: ANN001, ANN202
    """The sum over resources of the share of the node that stays free at worst; -1: no room."""
    node_class, left = work[2][pair], 0.0
    for r in range(work[5].shape[1]):
        used, k = 0.0, first
        while k < instants[0] and profile[0][k] < end:
            used = max(used, profile[1][k, node, r])
            k += 1
        if used + work[5][pair, r] > fleet[3][node_class, r]:
            return -1.0
        if fleet[2][node_class, r] > 0:
            left += max(0.0, 1.0 - (used + work[5][pair, r]) / fleet[2][node_class, r])
    return left


@njit(cache=True)
def _free(pair, at, end, work, fleet, instants, profile):  # noqa: ANN001, ANN202
    """float[nodes of the class]: how much a node would have left over, opened ones first; inf: no room."""
    low, high = fleet[0][work[2][pair]], fleet[0][work[2][pair] + 1]
    rank, first = np.full(high - low, np.inf), 0
    while profile[0][first] < at:
        first += 1
    for node in range(low, high):
        left = _left_over(pair, node, first, end, work, fleet, instants, profile)
        if left >= 0:
            rank[node - low] = round(left, 9)
            if not profile[2][node] and fleet[1][work[2][pair]] > 0:
                rank[node - low] += 1e3
    return rank


@njit(cache=True)
def _take(pair, at, end, size, rank, work, fleet, instants, profile, out_nodes):  # noqa: ANN001, ANN202
    """Hold the `size` nodes of the lowest rank from `at` to `end`."""
    _cut(end, instants, profile)
    for i in range(size):
        place = np.argmin(rank)
        rank[place] = np.inf
        node = fleet[0][work[2][pair]] + place
        out_nodes[i], profile[2][node] = node, True
        for k in range(instants[0]):
            if at <= profile[0][k] < end:
                profile[1][k, node] += work[5][pair]


@njit(cache=True)
def _cut(at, instants, profile):  # noqa: ANN001, ANN202
    """Let a new segment begin at `at`, with what is held there already."""
    count, k = instants[0], instants[0]
    while profile[0][k - 1] > at:
        k -= 1
    if profile[0][k - 1] == at:
        return
    for j in range(count, k, -1):
        profile[0][j] = profile[0][j - 1]
        profile[1][j] = profile[1][j - 1]
    profile[0][k] = at
    profile[1][k] = profile[1][k - 1]
    instants[0] = count + 1
