"""An end to waiting: nodes are set aside for what has waited long, else smaller work would fit past it for ever."""

import numpy as np

from suanli.domain.record import Placement, Record
from suanli.domain.workload import Kind
from suanli.kernel import nearness
from suanli.kernel.asks import Wants
from suanli.kernel.state import State
from suanli.policies.compiled import loop
from suanli.policies.table import Ask, NodeTable, share_of

SET_ASIDE_AFTER_S = 3600.0
"""Waiting for resources after which the first of the queue that cannot start has nodes set aside."""

TRIES_MAX = 16
"""Workloads for which one step looks for nodes to set aside; each costs O(N log N). One gets them."""


class Patience:
    """Sets nodes aside for one workload of a step: the first in order that has waited long enough.

    Nothing behind it in order takes room on them, except for a service's replica that might end it there. So they empty
    as their work ends, and it starts at the latest when all of that has. They are the nodes that lack least of what it
    asks; as nothing is added to them, those of the next step lack no more, so that nothing needs to be remembered.
    Services never end, so their share never counts as coming. This is the reservation of EASY backfilling (Lifka 1995),
    one at a time, for durations that nobody knows.
    """

    def __init__(self, state: State, now_s: float) -> None:
        self._state = state
        self._now_s = now_s
        self._tries = 0
        self._ended = state.served
        self.set_aside: dict[str, tuple[Placement, ...]] = {}

    @property
    def is_open(self) -> bool:
        """Whether somebody may still have nodes set aside in this step."""
        return not self.set_aside and self._tries < TRIES_MAX

    def is_due(self, record: Record) -> bool:
        """Whether it has waited long enough, and nobody before it in this step."""
        return self.is_open and self._state.waited_s(record, self._now_s) >= SET_ASIDE_AFTER_S

    def yields_to(self, record: Record) -> tuple[Placement, ...] | None:
        """What a service's replica need not leave to work that saves and has a lower declared priority."""
        if record.workload.kind is not Kind.SERVE:
            return None
        for key, placements in self.set_aside.items():
            waits = self._state.records[key].workload
            if waits.saves and waits.preemptible and waits.priority < record.workload.priority:
                return placements
        return None

    def starts(self, record: Record, placements: tuple[Placement, ...]) -> None:
        """What a service that starts in this step takes never comes back, either."""
        if record.workload.kind is Kind.SERVE:
            if self._ended is self._state.served:
                self._ended = self._ended.copy()
            self._ended.take(placements)

    def keep_for(self, record: Record, wants: Wants, later: NodeTable) -> tuple[Placement, ...]:
        """What to keep others from; empty where no nodes will do. O(N log N).

        `later` is what is free once all that is stopping has left.
        """
        self._tries += 1
        placements = _nearest(wants, later, self._ended)
        if placements:
            self.set_aside[record.key] = placements
        return placements


def _nearest(wants: Wants, later: NodeTable, ended: NodeTable) -> tuple[Placement, ...]:
    """Of the nodes that will have room once all has `ended`, those that lack least of it."""
    best: tuple[float, tuple[Placement, ...]] = (np.inf, ())
    lacking, lacks = loop(nearness, "lacking", len(later.nodes)), np.empty(len(later.nodes))
    of_later = later.free, later.whole_free, later.largest_share, lacks
    for ask, _ in wants.alternatives():
        if lacking(ask.amounts, ask.model, ask.count, ended.fitting(ask), *of_later) < wants.fewest:
            continue
        nearest = np.argsort(lacks, kind="stable")[: wants.fewest].tolist()
        most = float(lacks[nearest[-1]])
        if most < best[0]:
            best = most, tuple([_keep(later, ended, i, ask) for i in sorted(nearest)])
    return best[1]


def _keep(later: NodeTable, ended: NodeTable, i: int, ask: Ask) -> Placement:
    """Room on node `i`, on the devices that are free first where there are such."""
    if ask.model < 0:
        return ended.placement(i, ask)
    now = later.device_free[i].tolist()
    # rounded, so that what was added up in another order is still a tie
    freest = sorted((round(1.0 - now[d], 9), d) for d, _ in ended.roomy(i, ask))
    devices = tuple([d for _, d in freest[: max(1, int(ask.count))]])
    return Placement(later.names[i], share_of(ask, devices))
