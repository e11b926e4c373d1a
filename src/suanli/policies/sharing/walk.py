"""Walking over pairs of job and type in an order, and giving each job the first type that has room."""

import numpy as np
from numba import njit

from suanli.policies.table import Bools, Floats, Indices


@njit(cache=True)
def first_with_room(pairs: Indices, able: Bools, devices: Floats, capacity: Floats) -> Indices:
    """int[n]: the type of each job, -1 for none. `pairs[k]` = job * m + type, best first; `able[n, m]`. O(pairs)."""
    n, m = able.shape
    free = capacity.copy()
    kind = np.full(n, -1, dtype=np.intp)
    for pair in pairs:
        i, j = pair // m, pair % m
        if kind[i] < 0 and able[i, j] and devices[i] <= free[j] + 1e-9:
            kind[i] = j
            free[j] -= devices[i]
    return kind
