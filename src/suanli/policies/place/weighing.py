"""The measures of a placement, weighed: scalar loops over a node's devices. See `policies.compiled`."""

from math import floor, inf

import numpy as np
from numpy.typing import NDArray

from suanli.policies.place.measures import (
    EPSILON,
    Expected,
    Floats,
    equals_earlier,
    fragmentation,
    occupy,
    total,
)


def leftovers(
    cores: float,
    free_cpus: float,
    cpus: float,
    devices: Floats,
    device_model: NDArray[np.int16],
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
    """What is left on a node, weighed (`place.leftovers`), at the device where that is least. O(T·D) for each device.

    `cores` the node has; `lost` is its fragmentation before the placement.
    """
    weight = weights[0 if model < 0 else 1 if count < 1 else 2 if count == 1 else 3]
    node = of_node(cores, free_cpus, cpus, devices, count, largest, weight, cores_per_device)
    if len(devices) > 0:
        node += weight[10] * scarcity[model if model >= 0 else device_model[0]]
    partly, free = 0, 0
    for d in range(len(devices)):
        left[d] = devices[d]
        if devices[d] >= 1.0 - EPSILON:
            free += 1
        elif devices[d] > EPSILON:
            partly += 1
    if model < 0 or count >= 1:
        occupy(left, device_model, model, count)
        rise = fragmentation(free_cpus - cpus, left, device_model, mix, parts) - lost
        shape = (weight[8] * partly + weight[9] * (free - count)) / largest[1]
        return rounded(node + weight[0] * rise + shape), -1
    best, where = inf, -1
    for d in range(len(devices)):
        if (
            device_model[d] != model
            or devices[d] < count - EPSILON
            or equals_earlier(devices, device_model, d)
        ):
            continue
        left[d] = devices[d] - count
        rise = fragmentation(free_cpus - cpus, left, device_model, mix, parts) - lost
        fresh = 1 if devices[d] >= 1.0 - EPSILON else 0
        used = partly + fresh - (1 if left[d] <= EPSILON else 0)
        left[d] = devices[d]
        shape = (weight[8] * used + weight[9] * (free - fresh)) / largest[1]
        rating = rounded(node + weight[0] * rise + shape)
        if rating < best:
            best, where = rating, d
    return best, where


def of_node(
    cores: float,
    free_cpus: float,
    cpus: float,
    devices: Floats,
    count: float,
    largest: tuple[float, float],
    weight: Floats,
    cores_per_device: float,
) -> float:
    """What is the same for all devices of a node: measures 1 to 7."""
    number = max(len(devices), 1)
    before, after, left = total(devices), total(devices) - count, free_cpus - cpus
    served_before, served = free_cpus / cores_per_device, left / cores_per_device
    return (
        weight[1] * after / largest[1]
        + weight[2] * left / largest[0]
        + weight[3] * abs(left / max(cores, EPSILON) - after / number)
        + weight[4] * len(devices) / largest[1]
        + weight[5] * cores / number * largest[1] / largest[0]
        + weight[6] * (max(0.0, after - served) - max(0.0, before - served_before))
        + weight[7] * (max(0.0, served - after) - max(0.0, served_before - before))
    )


def rounded(rating: float) -> float:
    """So that what differs only by the order of additions is a tie."""
    return floor(rating * 1e6 + 0.5) * 1e-6
