"""Gavel's policies as its authors ship them, where that decides figures and is not what they define.

Theirs is stanford-futuredata/gavel @c4fa400. Nothing here is a policy of ours; it shows what published figures are of.

- `fifo` draws a type and gives another, the last of those with any room, beyond what is free there.
- `makespan` bisects until it is within 5 % of the earliest end, and each time asks a solver for any division that
  reaches it. Which one that is depends on the solver's path (`cone`).
- `finish_time_fairness`, of whom nothing is known of speeds: one job that is nearly done and has all of its time often
  settles what the worst ratio can be. All others may then have more or less, and get what the solver's path leaves.
"""

import random

import numpy as np
from cone import Program, solve
from scipy import sparse

from suanli.policies.sharing.agnostic import believed
from suanli.policies.sharing.values import Allocation, Sharing, isolated_speed
from suanli.policies.table import Floats, Indices

EARLIEST_S, LATEST_S = 100.0, 1e6
ENOUGH = 1.05

Entries = tuple[Indices, Indices, Floats]
"""Of a sparse matrix: rows, columns, values."""


def fifo(seed: int = 0) -> Allocation:
    """scheduler/policies/fifo.py, which keeps what it has given; the slip is at `available[-1]`."""
    rng, given = random.Random(seed), dict[int, int]()

    def allocation(sharing: Sharing) -> Floats:
        row = {int(seq): i for i, seq in enumerate(sharing.seq)}
        free, devices = sharing.capacity.copy(), sharing.devices
        queue = sorted(seq for seq in row if seq not in given)
        for seq, kind in sorted(given.items()):
            if seq in row:
                free[kind] -= devices[row[seq]]
                continue
            del given[seq]
            head = row[queue[0]] if queue else -1
            if queue and devices[head] <= free[kind] and sharing.speed[head, kind] > 0:
                given[queue.pop(0)] = kind
                free[kind] -= devices[head]
        available = [int(kind) for kind in np.argsort(-sharing.capacity) if free[kind] > 0]  # k80, p100, v100
        for seq in queue:
            fitting = [at for at, kind in enumerate(available) if free[kind] >= devices[row[seq]]]
            if not fitting:
                break
            drawn, kind = fitting[rng.randrange(len(fitting))], available[-1]
            if sharing.speed[row[seq], kind] > 0:
                given[seq] = kind
                free[kind] -= devices[row[seq]]
                if free[kind] == 0:
                    available.pop(drawn)
        x = np.zeros(sharing.speed.shape)
        for seq in given.keys() & row.keys():
            x[row[seq], given[seq]] = 1.0
        return x

    return allocation


def makespan(sharing: Sharing) -> Floats:
    """scheduler/policies/min_total_duration.py: the last division that its bisection finds possible."""
    n, m = sharing.speed.shape
    cell = np.arange(n * m)
    limits, limit = _limits(sharing)
    rows = _rows((n * m + m + 2 * n, n * m), limits, (len(limit) + cell // m, cell, -sharing.speed.ravel()))
    low_s, high_s, x = EARLIEST_S, LATEST_S, None
    while ENOUGH * low_s < high_s:
        middle_s = (low_s + high_s) / 2
        asked = np.concatenate([limit, -sharing.remaining / middle_s])
        found = solve(Program(np.zeros(n * m), rows, asked, plain=len(asked)))
        x, low_s, high_s = (x, middle_s, high_s) if found is None else (found, low_s, middle_s)
    assert x is not None
    return np.clip(x.reshape(n, m), 0.0, 1.0)


def finish_time_fairness(sharing: Sharing) -> Floats:
    """scheduler/policies/finish_time_fairness.py, where all types are taken for as fast as the fastest.

    Columns are x, then the time that each job needs for a unit of its work, at least 1 / theta, and the worst ratio.
    """
    alike = believed(sharing)
    n, m = alike.speed.shape
    cell, own = np.arange(n * m), np.arange(n)
    fair_s = sharing.fair_s + sharing.remaining / isolated_speed(alike)
    limits, limit = _limits(sharing)
    time, worst, plain = n * m + own, n * m + n, len(limit) + n
    # theta * time >= 1 as (theta + time, theta - time, 2) in the second-order cone
    head, speed = plain + 3 * np.arange(n), -alike.speed.ravel()
    rows = _rows(
        (plain + 3 * n, worst + 1),
        limits,
        (len(limit) + own, time, sharing.remaining / fair_s),
        (len(limit) + own, np.full(n, worst), -np.ones(n)),
        (head[cell // m], cell, speed),
        (head, time, -np.ones(n)),
        (head[cell // m] + 1, cell, speed),
        (head + 1, time, np.ones(n)),
    )
    limit = np.concatenate([limit, -sharing.elapsed_s / fair_s, np.tile([0.0, 0.0, 2.0], n)])
    x = solve(Program(np.eye(1, worst + 1, worst)[0], rows, limit, plain))
    assert x is not None
    return np.clip(x[: n * m].reshape(n, m), 0.0, 1.0)


def _limits(sharing: Sharing) -> tuple[Entries, Floats]:
    """Of all divisions: nothing negative, no type above its capacity, nobody above all of its time."""
    n, m = sharing.speed.shape
    cell = np.arange(n * m)
    job, kind = cell // m, cell % m
    entries = (
        np.concatenate([cell, n * m + kind, n * m + m + job]),
        np.tile(cell, 3),
        np.concatenate([-np.ones(n * m), sharing.devices[job], np.ones(n * m)]),
    )
    return entries, np.concatenate([np.zeros(n * m), sharing.capacity, np.ones(n)])


def _rows(size: tuple[int, int], *entries: Entries) -> sparse.csc_array:
    row, column, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    some = value != 0
    return sparse.csc_array((value[some], (row[some], column[some])), shape=size)
