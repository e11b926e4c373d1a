"""First come, first served, on the fastest type that is left (Gavel's heterogeneity-aware FIFO)."""

import numpy as np

from suanli.policies.sharing.values import Sharing, usable_speed
from suanli.policies.table import Floats


def first_come(sharing: Sharing) -> Floats:
    """Each job in order of arrival has all of its time on the fastest type with devices left; no overtaking. O(n m)."""
    speed = usable_speed(sharing)
    free = sharing.capacity.copy()
    x = np.zeros(speed.shape)
    for i in np.argsort(sharing.seq, kind="stable"):
        has_room = free >= sharing.devices[i]
        if not has_room.any():
            break
        kind = int(np.argmax(np.where(has_room, speed[i], -1.0)))
        if speed[i, kind] > 0:
            x[i, kind] = 1.0
            free[kind] -= sharing.devices[i]
    return x
