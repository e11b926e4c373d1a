"""How good a node and a device are for an ask: scalar loops, compiled on large fleets, interpreted on small ones.

Shapes: N nodes, D devices on the largest, M accelerator models, T typical shapes, A alternatives. A rating is lower for
what is better; infinity is no room. See `policies.compiled`.
"""

from math import exp, floor, inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EPSILON = 1e-6
ROUNDING = 1e-9
"""What two sums of the same shares may differ by: a tie must not hang on it."""

DEVICES = 2**16
"""More than any node has: an alternative and a device are told by one number."""

SHARE = 0
"""Column of `held` for shares of one device; column k is for k whole devices."""

FIRST, BEST, SPREAD, DOT_PRODUCT, PACKING, CLUSTERING, FRAGMENTATION = range(7)


def choose(
    rule: int,
    touched: Ints,
    since: int,
    free: Floats,
    device_free: Floats,
    device_model: NDArray[np.int16],
    held: NDArray[np.int32],
    classes: Ints,
    kinds: int,
    handicap: Floats,
    amounts: tuple[float, float, float, float],
    models: Ints,
    counts: Floats,
    largest: tuple[float, float],
    mix: Floats,
    lost: Floats,
    lost_at: Ints,
    ratings: Floats,
    choices: Ints,
    seen: Ints,
) -> int:
    """Rate again the nodes `touched[since:]` and return the best of all, the first of equals; -1 where none has room.

    float[N, 4] `free`, float[N, D] `device_free`, int[N, D] `device_model`, int[N, D+1] `held`, int[N] `classes` (of
    `kinds`) of nodes with equal capacity, float[N] `handicap` (added to the rating, inf for nodes that are out of the
    question), int[A] `models` and float[A] `counts` of the alternatives, `largest` cores and devices of any node,
    float[T, 4+M] `mix` (see `Mix.rows`). Written: float[N] `ratings`, int[N] `choices` (alternative · DEVICES + device
    + 1, 0 for no one device), int[N] `seen` (where in `touched` a node was last found, so that it is rated once); and
    for all shapes together float[N] `lost`, the fragmentation of each node, and int[N] `lost_at`, when that was found.
    O(N), and for each node touched O(A·D), with a mix O(A·T·D); nodes that are alike are rated once.
    """
    like = np.full(kinds, -1)
    left, parts = np.empty(device_free.shape[1]), np.empty(device_free.shape[1])
    for at in range(len(touched) - 1, since - 1, -1):
        i = touched[at]
        if seen[i] >= since:
            continue
        seen[i] = at
        ratings[i] = inf
        if handicap[i] == inf or not has_plain(free[i], amounts):
            continue
        twin = int(like[classes[i]])
        if twin >= 0 and handicap[i] == handicap[twin] and are_alike(i, twin, free, device_free, held):
            ratings[i], choices[i] = ratings[twin], choices[twin]
            continue
        like[classes[i]] = i
        number = number_of(device_model[i])
        devices, model = device_free[i, :number], device_model[i, :number]
        if len(mix) > 0 and lost_at[i] < at:
            lost_at[i] = at
            lost[i] = fragmentation(free[i, 0], devices, model, mix, parts)
        for a in range(len(models)):
            if models[a] >= 0 and not has_model(model, models[a]):
                continue
            rating, device = rate(
                rule,
                free[i],
                devices,
                model,
                held[i],
                amounts[0],
                models[a],
                counts[a],
                largest,
                mix,
                float(lost[i]),
                left[:number],
                parts,
            )
            if rating + handicap[i] < ratings[i]:
                ratings[i] = rating + handicap[i]
                choices[i] = a * DEVICES + device + 1
    return first_lowest(ratings)


def are_alike(i: int, j: int, free: Floats, device_free: Floats, held: NDArray[np.int32]) -> bool:
    """Whether two nodes of one class are in the same state, and so rated the same."""
    for r in range(4):
        if free[i, r] != free[j, r]:
            return False
    for d in range(device_free.shape[1]):
        if device_free[i, d] != device_free[j, d] or held[i, d] != held[j, d]:
            return False
    return bool(held[i, -1] == held[j, -1])


def number_of(device_model: NDArray[np.int16]) -> int:
    """Devices of a node; they are the first of its row."""
    number = 0
    while number < len(device_model) and device_model[number] >= 0:
        number += 1
    return number


def has_model(device_model: NDArray[np.int16], model: int) -> bool:
    for d in range(len(device_model)):  # noqa: SIM110 - a generator cannot be compiled
        if device_model[d] == model:
            return True
    return False


def first_lowest(ratings: Floats) -> int:
    best, where = inf, -1
    for i in range(len(ratings)):
        if ratings[i] < best:
            best, where = ratings[i], i
    return where


def has_plain(free: Floats, amounts: tuple[float, float, float, float]) -> bool:
    """Room for what is asked beside devices; what is not asked for fits on an overfull node too."""
    for r in range(4):  # noqa: SIM110 - a generator cannot be compiled
        if amounts[r] > 0 and free[r] < amounts[r] - EPSILON:
            return False
    return True


def rate(
    rule: int,
    free: Floats,
    devices: Floats,
    device_model: NDArray[np.int16],
    held: NDArray[np.int32],
    cpus: float,
    model: int,
    count: float,
    largest: tuple[float, float],
    mix: Floats,
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


def tightest(devices: Floats, device_model: NDArray[np.int16], model: int, share: float) -> int:
    """The device of the model with the least free that is enough, the first of equals; -1 where none is."""
    best, where = inf, -1
    for d in range(len(devices)):
        if device_model[d] == model and devices[d] >= share - EPSILON and devices[d] < best - ROUNDING:
            best, where = devices[d], d
    return where


def whole(devices: Floats, device_model: NDArray[np.int16], model: int) -> int:
    """How many devices of the model are wholly free."""
    found = 0
    for d in range(len(devices)):
        if device_model[d] == model and devices[d] >= 1.0 - EPSILON:
            found += 1
    return found


def total(devices: Floats) -> float:
    """What is free on all devices together."""
    free = 0.0
    for d in range(len(devices)):
        free += devices[d]
    return free


def left_over(cpus: float, devices: float, largest: tuple[float, float]) -> float:
    """0..100 in whole steps: the mean of cores and devices left, each as a part of the largest node's.

    Rounded up, as its complement 100·(1 - x) is rounded down where this measure comes from.
    """
    room = 0.5 * cpus / largest[0] + 0.5 * devices / largest[1]
    return 100.0 - floor(100.0 * (1.0 - room) + ROUNDING)


def alignment(
    free_cpus: float, free_devices: float, cpus: float, count: float, largest: tuple[float, float]
) -> float:
    """0..100 in whole steps: half the dot product of what is free with what is asked, by the largest node's."""
    dot = free_cpus / largest[0] * cpus / largest[0] + free_devices / largest[1] * count / largest[1]
    return 100.0 - floor(100.0 * (1.0 - dot / 2.0) + ROUNDING)


def packed(devices: Floats, device_model: NDArray[np.int16], model: int, count: float, device: int) -> float:
    """0..100: devices in use before free ones on nodes in use, those before idle nodes (fewest free devices first)."""
    if model < 0:
        return 100.0
    free = 0
    for d in range(len(devices)):
        if devices[d] >= 1.0 - EPSILON:
            free += 1
    if free == len(devices):
        return 100.0 - max(33.0 - free, free)
    if device >= 0 and devices[device] < 1.0 - EPSILON:
        return floor(floor(devices[device] * 100.0 + ROUNDING) / 10.0)
    return 100.0 - max(50.0 - max(count, 1.0), 33.0)


def clustered(
    free: float, held: NDArray[np.int32], model: int, count: float, largest: tuple[float, float]
) -> float:
    """0..100: nodes that hold only this size of request, then also this size, then idle ones, then others."""
    if model < 0:
        return 100.0
    sizes = 0
    for k in range(len(held)):
        if held[k] > 0:
            sizes += 1
    kind = SHARE if count < 1 else int(count)
    band = 3.0 if sizes == 1 else 2.0
    if held[kind] == 0:
        band = 1.0 if sizes == 0 else 0.0
    return 100.0 - band * 25.0 - floor(25.0 * (largest[1] - free) / largest[1] + ROUNDING)


def fragmentation_descent(
    cpus: float,
    devices: Floats,
    device_model: NDArray[np.int16],
    model: int,
    count: float,
    mix: Floats,
    lost: float,
    left: Floats,
    parts: Floats,
) -> tuple[float, int]:
    """0..100 in whole steps: 100 - 100·sigmoid(fall of fragmentation), at the device where it falls most.

    `cpus` are left after the placement, `lost` is the fragmentation before it.
    """
    for d in range(len(devices)):
        left[d] = devices[d]
    if model < 0 or count >= 1:
        occupy(left, device_model, model, count)
        return descent(lost, fragmentation(cpus, left, device_model, mix, parts)), -1
    best, where = inf, -1
    for d in range(len(devices)):
        if (
            device_model[d] != model
            or devices[d] < count - EPSILON
            or equals_earlier(devices, device_model, d)
        ):
            continue
        left[d] = devices[d] - count
        rating = descent(lost, fragmentation(cpus, left, device_model, mix, parts))
        left[d] = devices[d]
        if rating < best:
            best, where = rating, d
    return best, where


def equals_earlier(devices: Floats, device_model: NDArray[np.int16], device: int) -> bool:
    """Whether an earlier device of the model has just as much free: what holds for one holds for both."""
    for d in range(device):
        if device_model[d] == device_model[device] and abs(devices[d] - devices[device]) <= ROUNDING:
            return True
    return False


def descent(before: float, after: float) -> float:
    return 100.0 - floor(100.0 / (1.0 + exp(after - before)) + ROUNDING)


def occupy(left: Floats, device_model: NDArray[np.int16], model: int, count: float) -> None:
    """Take `count` whole devices of the model in index order."""
    for d in range(len(left)):
        if count >= 1 and device_model[d] == model and left[d] >= 1.0 - EPSILON:
            left[d] = 0.0
            count -= 1


def fragmentation(
    cpus: float, left: Floats, device_model: NDArray[np.int16], mix: Floats, parts: Floats
) -> float:
    """Devices idle on a node that a workload drawn from the mix cannot use. O(T·P) for P partly used devices.

    All that is idle where it cannot run here at all (or uses no device), else what is idle on devices with too little.
    Weng et al. 2023, section 3.2. `parts` is room for D numbers.
    """
    idle, whole, partly = 0.0, 0, 0
    for d in range(len(left)):
        idle += left[d]
        if left[d] >= 1.0 - EPSILON:
            whole += 1
        elif left[d] > EPSILON:
            parts[partly] = left[d]
            partly += 1
    if idle <= EPSILON:
        return 0.0
    lost, alike = 0.0, is_uniform(device_model)
    for t in range(len(mix)):
        if mix[t, 2] <= 0 or cpus < mix[t, 1] - EPSILON:
            lost += mix[t, 0] * idle
        elif not alike:
            lost += mix[t, 0] * lost_to_one(mix[t], left, device_model, idle)
        elif mix[t, 4 + device_model[0]] <= 0:
            lost += mix[t, 0] * idle
        else:
            enough, small, share = whole, 0.0, mix[t, 3] - EPSILON
            for p in range(partly):
                if parts[p] >= share:
                    enough += 1
                else:
                    small += parts[p]
            lost += mix[t, 0] * (small if enough >= mix[t, 2] else idle)
    return lost


def lost_to_one(shape: Floats, left: Floats, device_model: NDArray[np.int16], idle: float) -> float:
    """What one shape with enough cores cannot use on a node of several models."""
    enough, small = 0, 0.0
    for d in range(len(left)):
        if left[d] >= shape[3] - EPSILON and shape[4 + device_model[d]] > 0:
            enough += 1
        else:
            small += left[d]
    return small if enough >= shape[2] else idle


def is_uniform(device_model: NDArray[np.int16]) -> bool:
    for d in range(1, len(device_model)):  # noqa: SIM110 - a generator cannot be compiled
        if device_model[d] != device_model[0]:
            return False
    return True
