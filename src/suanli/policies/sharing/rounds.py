"""Carrying out fractions of time round by round (Gavel, OSDI 2020, section 5).

A job that has had less of a type than its fraction gives it goes first there. f_ij is the time that job i has held type
j since fractions were last computed, over the time that all have; its priority is X_ij / f_ij.
"""

import msgspec
import numpy as np

from suanli.policies.sharing.values import Sharing, usable_speed
from suanli.policies.table import Bools, Floats, Indices

ROUND_S = 360.0
"""Length of a round."""

DIVIDE_AFTER_S = 1920.0
"""Fractions hold for at least so long, whoever comes and goes; who comes meanwhile waits for the next division."""


class Ledger(msgspec.Struct, frozen=True, eq=False):
    """What jobs were given and have had since fractions were last computed; rows and columns as in `Sharing`.

    `x[n, m]` are the fractions, `held_s[n, m]` times (half a round at first, for a fair start), `deficit_s[n, m]` what
    was owed before; `total_s[m]` the time that all have held a type.
    """

    x: Floats
    held_s: Floats
    deficit_s: Floats
    total_s: Floats


def divided(ledger: Ledger, x: Floats, since_s: float) -> Ledger:
    """A new division after `since_s` under the old one: what was owed and not had is carried over."""
    half = np.full(x.shape, ROUND_S / 2)
    owed = ledger.x * since_s - (ledger.held_s - half)
    return Ledger(x, half, ledger.deficit_s + owed, half.sum(axis=0))


def turns(sharing: Sharing, ledger: Ledger, types: Indices, given: Bools, *, strict: bool = False) -> Indices:
    """int[n]: the type that each job has in the next round, -1 for none; as many run as have room.

    Only those who were among whom was divided (`given`, bool[n]), on any type; under `strict` only on types of which
    they were given a fraction.

    Types one after another in the order given; in each by falling (priority, deficit, fraction), ties by row.
    """
    from suanli.policies.sharing.walk import first_with_room

    m = ledger.x.shape[1]
    priority = _priorities(ledger, sharing)
    pairs = [np.lexsort((-ledger.x[:, j], -ledger.deficit_s[:, j], -priority[:, j])) * m + j for j in types]
    able = sharing.able & ((ledger.x > 0) if strict else given[:, None])
    flat = np.concatenate([*pairs, np.zeros(0, dtype=np.intp)]).astype(np.intp)
    return first_with_room(flat, able, sharing.devices, sharing.capacity)


def fastest_first(sharing: Sharing) -> Indices:
    """int[m]: types by falling mean relative speed of all jobs."""
    speed = usable_speed(sharing)
    relative = speed / np.maximum(speed.max(axis=1, keepdims=True, initial=0.0), 1e-300)
    return np.argsort(-relative.sum(axis=0), kind="stable").astype(np.intp)


def _priorities(ledger: Ledger, sharing: Sharing) -> Floats:
    share = ledger.held_s / np.where(ledger.total_s > 0, ledger.total_s, 1.0)[None, :]
    unheld = (share <= 0) | (ledger.total_s <= 0)[None, :]
    priority = np.where(unheld, ledger.x * 1e9, ledger.x / np.where(unheld, 1.0, share))
    return np.where(sharing.able, priority, 0.0)
