"""An end to waiting: nodes are set aside for what has waited long, else smaller work would fit past it for ever."""

import msgspec
import numpy as np

from suanli.domain.record import Placement, Record
from suanli.domain.workload import Kind
from suanli.kernel.asks import Wants
from suanli.kernel.holdings import Holdings
from suanli.kernel.state import State
from suanli.policies.table import RESOURCES, TOLERANCE, Ask, Floats, Indices, NodeTable

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

    def consider(self, record: Record, wants: Wants, table: NodeTable) -> tuple[Placement, ...]:
        """What to keep others from, empty where it is not its turn. O(N log N), after O(live placements) once."""
        if self.set_aside or self._tries >= TRIES_MAX:
            return ()
        if self._state.waited_s(record, self._now_s) < SET_ASIDE_AFTER_S:
            return ()
        self._tries += 1
        placements = _nearest(wants, table, self._all_ended(table))
        if placements:
            self.set_aside[record.key] = placements
        return placements

    def _all_ended(self, table: NodeTable) -> NodeTable:
        if self._ended is None:
            ending = [r for r in self._state.live.values() if r.workload.kind is not Kind.SERVE]
            self._ended = Holdings(table, ending).without(table, np.ones(len(ending), dtype=np.bool_))
        return self._ended


def _nearest(wants: Wants, table: NodeTable, ended: NodeTable) -> tuple[Placement, ...]:
    """Of the nodes that will have room once all has `ended`, those that lack least of it now."""
    best: tuple[float, tuple[Placement, ...]] = (np.inf, ())
    for ask, _ in wants.alternatives():
        candidates = np.flatnonzero(ended.fitting(ask))
        if len(candidates) < wants.fewest:
            continue
        lacks = _lacking(table, ask, candidates)
        nearest = np.argsort(lacks, kind="stable")[: wants.fewest]
        lacking = float(lacks[nearest[-1]])
        if lacking < best[0]:
            best = lacking, tuple(_keep(table, ended, i, ask) for i in sorted(candidates[nearest].tolist()))
    return best[1]


def _keep(table: NodeTable, ended: NodeTable, i: int, ask: Ask) -> Placement:
    """Room on node `i`, on the devices that are free already where there are such."""
    placement = ended.placement(i, ask)
    if ask.model < 0:
        return placement
    enough = ended.device_free[i] >= min(ask.count, 1.0) - TOLERANCE
    mine = np.flatnonzero((table.device_model[i] == ask.model) & enough).tolist()
    mine.sort(key=lambda d: (-round(table.device_free[i, d], 9), d))
    share = msgspec.structs.replace(placement.share, devices=tuple(mine[: len(placement.share.devices)]))
    return Placement(placement.node, share)


def _lacking(table: NodeTable, ask: Ask, candidates: Indices) -> Floats:
    """float[candidates]: the largest part of any resource asked that a node has not got free, 0 (none) to 1 (all)."""
    lacking = np.zeros(len(candidates))
    for r, _ in enumerate(RESOURCES):
        if ask.vector[r] > 0:
            lacking = np.maximum(lacking, 1.0 - table.free[candidates, r] / ask.vector[r])
    if ask.model >= 0:
        free = table.largest_share if ask.count < 1 else table.whole_free
        lacking = np.maximum(lacking, 1.0 - free[candidates, ask.model] / ask.count)
    return np.asarray(np.round(np.minimum(lacking, 1.0), 9), dtype=np.float64)
