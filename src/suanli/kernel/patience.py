"""An end to waiting: nodes are set aside for what has waited long, else smaller work would fit past it for ever."""

import numpy as np

from suanli.domain.record import Placement, Record
from suanli.kernel.asks import Wants
from suanli.kernel.state import State
from suanli.policies.table import RESOURCES, TOLERANCE, Ask, Floats, Indices, NodeTable, share_of

SET_ASIDE_AFTER_S = 3600.0
"""Waiting for resources after which the first of the queue that cannot start has nodes set aside."""

TRIES_MAX = 16
"""Workloads for which one step looks for nodes to set aside; each costs O(N log N). One gets them."""


class Patience:
    """Sets nodes aside for one workload of a step: the first in order that has waited long enough.

    Nothing behind it in order takes room on them, so they empty as their work ends, and it starts at the latest when
    all of that has. They are the nodes that lack least of what it asks; as nothing is added to them, those of the next
    step lack no more, so that nothing needs to be remembered. Services never end, so their share never counts as
    coming. This is the reservation of EASY backfilling (Lifka 1995), one at a time, for durations that nobody knows.
    """

    def __init__(self, state: State, now_s: float) -> None:
        self._state = state
        self._now_s = now_s
        self._tries = 0
        self._ended: NodeTable | None = None
        self.set_aside: dict[str, tuple[Placement, ...]] = {}

    @property
    def is_open(self) -> bool:
        """Whether somebody may still have nodes set aside in this step."""
        return not self.set_aside and self._tries < TRIES_MAX

    def is_due(self, record: Record) -> bool:
        """Whether it has waited long enough, and nobody before it in this step."""
        return self.is_open and self._state.waited_s(record, self._now_s) >= SET_ASIDE_AFTER_S

    def keep_for(
        self, record: Record, wants: Wants, table: NodeTable, later: NodeTable
    ) -> tuple[Placement, ...]:
        """What to keep others from; empty where no nodes will do. O(N log N).

        `table` is what is free, `later` what will be once all that is stopping has left.
        """
        self._tries += 1
        placements = _nearest(wants, later, self._all_ended(table))
        if placements:
            self.set_aside[record.key] = placements
        return placements

    def _all_ended(self, table: NodeTable) -> NodeTable:
        """What services leave, less what this step has taken."""
        if self._ended is not None:
            return self._ended
        served, before = self._state.served, self._state.table
        taken, taken_of_devices = table.free - before.free, table.device_free - before.device_free
        if not taken.any() and not taken_of_devices.any():
            return served
        ended = self._ended = served.copy()
        ended.free += taken
        ended.set_devices(served.device_free + taken_of_devices)
        return ended


def _nearest(wants: Wants, later: NodeTable, ended: NodeTable) -> tuple[Placement, ...]:
    """Of the nodes that will have room once all has `ended`, those that lack least of it."""
    best: tuple[float, tuple[Placement, ...]] = (np.inf, ())
    for ask, _ in wants.alternatives():
        candidates = np.flatnonzero(ended.fitting(ask))
        if len(candidates) < wants.fewest:
            continue
        lacks = _lacking(later, ask, candidates)
        nearest = np.argsort(lacks, kind="stable")[: wants.fewest]
        lacking = float(lacks[nearest[-1]])
        if lacking < best[0]:
            best = lacking, tuple(_keep(later, ended, i, ask) for i in sorted(candidates[nearest].tolist()))
    return best[1]


def _keep(later: NodeTable, ended: NodeTable, i: int, ask: Ask) -> Placement:
    """Room on node `i`, on the devices that are free first where there are such."""
    if ask.model < 0:
        return ended.placement(i, ask)
    enough = ended.device_free[i] >= min(ask.count, 1.0) - TOLERANCE
    mine = np.flatnonzero((later.device_model[i] == ask.model) & enough)
    taken = np.asarray(np.round(1.0 - later.device_free[i, mine], 9), dtype=np.float64)
    freest = mine[np.argsort(taken, kind="stable")].tolist()
    return Placement(later.names[i], share_of(ask, tuple(freest[: max(1, int(ask.count))])))


def _lacking(table: NodeTable, ask: Ask, candidates: Indices) -> Floats:
    """float[candidates]: the largest part of any resource asked that a node has not got free, 0 (none) to 1 (all)."""
    lacking = np.zeros(len(candidates))
    for r, _ in enumerate(RESOURCES):
        if ask.amounts[r] > 0:
            lacking = np.maximum(lacking, 1.0 - table.free[candidates, r] / ask.amounts[r])
    if ask.model >= 0:
        free = table.largest_share if ask.count < 1 else table.whole_free
        lacking = np.maximum(lacking, 1.0 - free[candidates, ask.model] / ask.count)
    return np.asarray(np.round(np.minimum(lacking, 1.0), 9), dtype=np.float64)
