"""What taking and giving does to the counts of one node: a scalar loop, compiled on large fleets."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WHOLE = 1.0 - 1e-6
"""Free of a device that counts as wholly free."""

DEVICES_MAX = 62
"""Devices of a node that fit into the bits of one number."""


def move(
    i: int,
    sign: float,
    amounts: tuple[float, float, float, float],
    mask: int,
    share: float,
    free: Floats,
    device_free: Floats,
    device_model: NDArray[np.int16],
    device_left: Floats,
    whole_free: NDArray[np.int32],
    largest_share: Floats,
    held: NDArray[np.int32],
    having: NDArray[np.int32],
) -> None:
    """Give (`sign` 1) or take (-1) on node `i`; `mask` has a bit for each device, `share` is what moves of each. O(D).

    The arrays are those of `NodeTable`, each is written. Devices that the node does not have are passed over.
    """
    for r in range(4):
        free[i, r] += sign * amounts[r]
    if mask == 0:
        return
    moved, left = 0, 0.0
    for m in range(whole_free.shape[1]):
        for k in range(whole_free[i, m] + 1):
            having[m, k] -= 1
        whole_free[i, m] = 0
        largest_share[i, m] = 0.0
    for d in range(device_free.shape[1]):
        m = device_model[i, d]
        if m < 0:
            break
        if (mask >> d) & 1:
            device_free[i, d] += sign * share
            moved += 1
        now = device_free[i, d]
        left += now
        if now >= WHOLE:
            whole_free[i, m] += 1
        largest_share[i, m] = max(largest_share[i, m], now)
    for m in range(whole_free.shape[1]):
        for k in range(whole_free[i, m] + 1):
            having[m, k] += 1
    device_left[i] = left
    held[i, 0 if share < 1 else moved] -= int(sign)
