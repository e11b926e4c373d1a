"""Whose turn is next: a scalar loop, compiled on large fleets. See `policies.compiled`."""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def next_open(
    i: int,
    looked_at: Bools,
    kinds: NDArray[np.int64],
    priorities: Floats,
    due: Bools,
    spares_due: bool,
    closed: Floats,
) -> int:
    """The first from position `i` on that is to be looked at, or n: of n in order, each with its kind.

    By kind `closed` says up to which priority nothing is; but the `due`, where they are spared. O(those passed over).
    """
    while i < len(kinds) and (
        looked_at[i] or (priorities[i] <= closed[kinds[i]] and not (spares_due and due[i]))
    ):
        i += 1
    return i
