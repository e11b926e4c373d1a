"""How good a node and a device are for an ask: scalar loops over nodes. See `policies.compiled`.

Shapes: N nodes, D devices on the largest, M accelerator models, T typical shapes, A alternatives. A rating is lower for
what is better; infinity is no room.
"""

from math import inf

import numpy as np
from numpy.typing import NDArray

from suanli.policies.place.measures import (
    EPSILON,
    ROUNDING,
    Expected,
    Floats,
    alignment,
    clustered,
    fragmentation,
    fragmentation_descent,
    left_over,
    packed,
    tightest,
    total,
    whole,
)
from suanli.policies.place.weighing import leftovers

Ints = NDArray[np.int64]

DEVICES = 2**16
"""More than any node has: an alternative and a device are told by one number."""

FIRST, BEST, SPREAD, DOT_PRODUCT, PACKING, CLUSTERING, FRAGMENTATION, LEFTOVERS = range(8)


def choose(
    rule: int,
    touched: Ints,
    since: int,
    free: Floats,
    device_free: Floats,
    held: NDArray[np.int32],
    classes: NDArray[np.int32],
    class_cores: Floats,
    class_models: NDArray[np.int16],
    handicap: Floats,
    amounts: tuple[float, float, float, float],
    models: Ints,
    counts: Floats,
    able: Ints,
    largest: tuple[float, float],
    weights: Floats,
    mix: Expected,
    cores_per_device: float,
    scarcity: Floats,
    lost: Floats,
    seen: NDArray[np.bool_],
    ratings: Floats,
    choices: NDArray[np.int32],
) -> int:
    """Rate again the nodes `touched[since:]` and return the best of all, the first of equals; -1 where none has room.

    Ratings are for whatever memory, disk and network is asked for: who has room for that is seen when one is chosen.

    float[N, 4] `free`, float[N, D] `device_free`, int[N, D+1] `held`; int[N] `classes` of nodes that are alike when
    empty, float[C] `class_cores` and int[C, D] `class_models`; float[N] `handicap` (added to the rating, inf for nodes
    that are out of the question); int[A] `models` and float[A] `counts` of the alternatives, int[C, A] `able`, those
    whose model nodes of a class have, ended by -1; `largest` cores and devices of any node, `weights` of the rule, the
    `mix` that is expected, float[M] `scarcity` of models.

    Written: float[N] `ratings` and int[N] `choices` (alternative · DEVICES + device + 1, 0 for no one device), and for
    all shapes together float[N, 2] `lost`, the fragmentation of each node and where in `touched` it was when that was
    found. bool[N] `seen` is all false before and after: a node is rated once. O(N), and for each node touched O(A·D),
    with a mix O(A·T·D); nodes that are alike are rated once.

    What belongs to a node is read from as few places as can be, since most of the time goes by waiting for memory.
    """
    like = np.full(len(class_cores), -1)
    left, parts = np.empty(device_free.shape[1]), np.empty(device_free.shape[1])
    for at in range(len(touched) - 1, since - 1, -1):
        i = touched[at]
        if seen[i]:
            continue
        seen[i] = True
        ratings[i] = inf
        if handicap[i] == inf or (amounts[0] > 0 and free[i, 0] < amounts[0] - EPSILON):
            continue
        c = classes[i]
        twin = int(like[c])
        if twin >= 0 and handicap[i] == handicap[twin] and are_alike(i, twin, free, device_free, held):
            ratings[i], choices[i] = ratings[twin], choices[twin]
            continue
        like[c] = i
        number = number_of(class_models[c])
        devices, model = device_free[i, :number], class_models[c, :number]
        if len(mix[0]) > 0 and lost[i, 1] < at:
            lost[i, 1] = at
            lost[i, 0] = fragmentation(free[i, 0], devices, model, mix, parts)
        for a in able[c]:
            if a < 0:
                break
            rating, device = rate(
                rule,
                float(class_cores[c]),
                free[i],
                devices,
                model,
                held[i],
                amounts[0],
                int(models[a]),
                float(counts[a]),
                largest,
                weights,
                mix,
                cores_per_device,
                scarcity,
                float(lost[i, 0]),
                left[:number],
                parts,
            )
            if rating + handicap[i] < ratings[i]:
                ratings[i] = rating + handicap[i]
                choices[i] = a * DEVICES + device + 1
    for at in range(since, len(touched)):
        seen[touched[at]] = False
    return first_lowest(ratings, free, amounts)


def number_of(device_model: NDArray[np.int16]) -> int:
    """Devices of a node; they are the first of its row."""
    number = 0
    while number < len(device_model) and device_model[number] >= 0:
        number += 1
    return number


def are_alike(i: int, j: int, free: Floats, device_free: Floats, held: NDArray[np.int32]) -> bool:
    """Whether two nodes of one class are in the same state, and so rated the same."""
    for r in range(4):
        if free[i, r] != free[j, r]:
            return False
    for d in range(device_free.shape[1]):
        if device_free[i, d] != device_free[j, d] or held[i, d] != held[j, d]:
            return False
    return bool(held[i, -1] == held[j, -1])


def first_lowest(ratings: Floats, free: Floats, amounts: tuple[float, float, float, float]) -> int:
    """Of the nodes that have room for all that is asked beside cores and devices, too."""
    best, where = inf, -1
    for i in range(len(ratings)):
        if ratings[i] < best and has_plain(free[i], amounts):
            best, where = ratings[i], i
    return where


def equals(
    best: float, ratings: Floats, free: Floats, amounts: tuple[float, float, float, float], found: Ints
) -> int:
    """How many nodes are rated as the best, with room for all that is asked; int[N] `found` are the first so many."""
    number = 0
    for i in range(len(ratings)):
        if ratings[i] <= best + ROUNDING and has_plain(free[i], amounts):
            found[number] = i
            number += 1
    return number


def has_plain(free: Floats, amounts: tuple[float, float, float, float]) -> bool:
    """Room for what is asked beside devices; what is not asked for fits on an overfull node too."""
    for r in range(4):  # noqa: SIM110 - a generator cannot be compiled
        if amounts[r] > 0 and free[r] < amounts[r] - EPSILON:
            return False
    return True


def rate(
    rule: int,
    cores: float,
    free: Floats,
    devices: Floats,
    device_model: NDArray[np.int16],
    held: NDArray[np.int32],
    cpus: float,
    model: int,
    count: float,
    largest: tuple[float, float],
    weights: Floats,
    mix: Expected,
    cores_per_device: float,
    scarcity: Floats,
    lost: float,
    left: Floats,
    parts: Floats,
) -> tuple[float, int]:
    """The rating of one node, and the device for a share (-1: whole devices in index order, or none)."""
    device = -1
    if model >= 0:
        if count < 1:
            device = tightest(devices, device_model, model, count)
            if device < 0:
                return inf, -1
        elif whole(devices, device_model, model) < count:
            return inf, -1
    elif model == -2:
        return inf, -1
    if rule == FRAGMENTATION:
        return fragmentation_descent(
            free[0] - cpus, devices, device_model, model, count, mix, lost, left, parts
        )
    if rule == LEFTOVERS:
        return leftovers(
            cores, free[0], cpus, devices, device_model, model, count, largest,
            weights, mix, cores_per_device, scarcity, lost, left, parts,
        )  # fmt: skip
    if rule in (BEST, SPREAD):
        room = left_over(free[0] - cpus, total(devices) - count, largest)
        return (room, device) if rule == BEST else (-room, device)
    if rule == DOT_PRODUCT:
        return alignment(free[0], total(devices), cpus, count, largest), device
    if rule == PACKING:
        return packed(devices, device_model, model, count, device), device
    if rule == CLUSTERING:
        return clustered(total(devices), held, model, count, largest), device
    return 0.0, device
