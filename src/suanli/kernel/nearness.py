"""How far nodes are from having room: a scalar loop, compiled on large fleets. See `policies.compiled`."""

from math import floor, inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def lacking(
    amounts: tuple[float, float, float, float],
    model: int,
    count: float,
    candidates: NDArray[np.bool_],
    free: Floats,
    whole_free: NDArray[np.int32],
    largest_share: Floats,
    lacks: Floats,
) -> int:
    """How many candidates there are; float[N] `lacks` is written: the largest part of any resource asked that a node
    has not got free, 0 (none) to 1 (all), inf where it is no candidate. For arrays as in `NodeTable`. O(N·R)."""
    found = 0
    for i in range(len(lacks)):
        lacks[i] = inf
        if not candidates[i]:
            continue
        found += 1
        worst = 0.0
        for r in range(4):
            if amounts[r] > 0:
                worst = max(worst, 1.0 - free[i, r] / amounts[r])
        if model >= 0:
            devices = largest_share[i, model] if count < 1 else float(whole_free[i, model])
            worst = max(worst, 1.0 - devices / count)
        # rounded, so that what was added up in another order is still a tie
        lacks[i] = floor(min(worst, 1.0) * 1e9 + 0.5) * 1e-9
    return found
