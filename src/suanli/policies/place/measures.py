"""What a placement leaves on one node, measured: scalar loops over a node's devices. See `policies.compiled`."""

from math import exp, floor, inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Expected = tuple[Floats, Floats]
"""What is expected to come, as `Mix.rows` and `Mix.by_model`."""

EPSILON = 1e-6
ROUNDING = 1e-9
"""What two sums of the same shares may differ by: a tie must not hang on it."""

SHARE = 0
"""Column of `held` for shares of one device; column k is for k whole devices."""


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
    mix: Expected,
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
    cpus: float, left: Floats, device_model: NDArray[np.int16], mix: Expected, parts: Floats
) -> float:
    """Devices idle on a node that a workload drawn from the mix cannot use. O(T·P) for P partly used devices.

    All that is idle where it cannot run here at all (or uses no device), else what is idle on devices with too little.
    Weng et al. 2023, section 3.2. `parts` is room for D numbers.
    """
    if not is_uniform(device_model):
        return lost_on_several(cpus, left, device_model, mix[0])
    idle, slivers, whole, partly = 0.0, 0.0, 0, 0
    for d in range(len(left)):
        idle += left[d]
        if left[d] >= 1.0 - EPSILON:
            whole += 1
        elif left[d] > EPSILON:
            slivers += left[d]
            parts[partly] = left[d]
            partly += 1
    if idle <= EPSILON:
        return 0.0
    lost, t, m, shapes = 0.0, 0, device_model[0], mix[1]
    while cpus >= shapes[m, t, 1] - EPSILON:
        enough, small, share = whole, slivers, shapes[m, t, 3] - EPSILON
        if share < 1.0 - 2.0 * EPSILON:
            for p in range(partly):
                if parts[p] >= share:
                    enough += 1
                    small -= parts[p]
        lost += shapes[m, t, 0] * (small if enough >= shapes[m, t, 2] else idle)
        t += 1
    return lost + shapes[m, t, 4] * idle


def lost_on_several(cpus: float, left: Floats, device_model: NDArray[np.int16], rows: Floats) -> float:
    """The same where not all devices are of one model. O(T·D)."""
    lost, idle = 0.0, total(left)
    for t in range(len(rows)):
        if rows[t, 2] <= 0 or cpus < rows[t, 1] - EPSILON:
            lost += rows[t, 0] * idle
        else:
            lost += rows[t, 0] * lost_to_one(rows[t], left, device_model, idle)
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
