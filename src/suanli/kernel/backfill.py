"""Backfilling with reservations: who goes past those that wait longer must not make them wait longer still."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Placement, Record
from suanli.kernel.asks import Wants, find_room
from suanli.kernel.state import State, by_seq
from suanli.perf.durations import saved_s
from suanli.policies.parts import Ground, Policy
from suanli.policies.table import TOLERANCE, Ask, Bools, Floats, Indices, NodeTable, amounts_of

INSTANTS_MAX = 128
"""Instants at which running work is expected to end; where there are more they are taken together, the later counts."""

OVERDUE_S = 60.0
"""What should have ended is at least so far from its end."""

Held = tuple[float, tuple[Placement, ...]]
"""Seconds until it is free again, and what."""


class Forecast:
    """What is free from now on if all ends when it is expected to, less what is reserved. Lives for one step.

    Piece t of T lasts from `begins_s[t]` (seconds from now) to the next, the last for ever; float[T, N, 4] `free` and
    float[T, N, D] `device_free` are what is free throughout. One whose end nobody can tell never ends. EASY (Lifka
    1995) keeps one reservation, conservative backfilling (Mu'alem and Feitelson 2001) one for each that waits.
    """

    def __init__(self, table: NodeTable, held: Iterable[Held], policy: Policy, ground: Ground) -> None:
        self._table, self._policy, self._ground = table, policy, ground
        self._begins_s, gives = _instants(held)
        self._free = np.repeat(table.free[None], len(gives), axis=0)
        self._device_free = np.repeat(table.device_free[None], len(gives), axis=0)
        for t, placements in enumerate(gives):
            self._add(placements, slice(t, None), 1.0)
        self._until: dict[int, NodeTable] = {}
        self.kept: dict[str, tuple[Placement, ...]] = {}

    def room_now(self, wants: Wants, left_s: float) -> tuple[Placement, ...] | None:
        """Room that stays for `left_s` from now, whatever is reserved. O(T·N·D) after a change, else as `find_room`."""
        last = self._last(left_s)
        table = self._until.get(last)
        if table is None:
            table = self._until[last] = self._throughout(0, last)
        return find_room(table, wants, self._policy, self._ground)

    def keep_for(self, record: Record, wants: Wants, left_s: float) -> bool:
        """Reserve the earliest room that stays for `left_s`. False where none is foreseen. O(T·N·D) for each piece."""
        for t in self._earliest(wants, left_s):
            table = self._throughout(t, self._last(self._begins_s[t] + left_s))
            placements = find_room(table, wants, self._policy, self._ground)
            if placements is not None:
                self.hold(placements, float(self._begins_s[t]), left_s)
                self.kept[record.key] = placements
                return True
        return False

    def hold(self, placements: tuple[Placement, ...], from_s: float, left_s: float) -> None:
        """Nobody else has that from then on, for `left_s`."""
        first, behind = self._cut(from_s), self._cut(from_s + left_s)
        self._add(placements, slice(first, behind), -1.0)
        self._until.clear()

    def _earliest(self, wants: Wants, left_s: float) -> Iterator[int]:
        """Pieces, the earliest first, from which on as many nodes as are needed have room throughout."""
        fits = [self._fitting(ask) for ask, _ in wants.alternatives()]
        for t in range(len(self._begins_s)):
            last = self._last(self._begins_s[t] + left_s)
            if any(int(room[t : last + 1].all(axis=0).sum()) >= wants.fewest for room in fits):
                yield t

    def _fitting(self, ask: Ask) -> Bools:
        """bool[T, N]: nodes with as much free in each piece."""
        room = np.broadcast_to(
            self._table.usable & self._table.labelled(ask.labels), self._free.shape[:2]
        ).copy()
        for r, asked in enumerate(ask.amounts):
            if asked > 0:
                room &= self._free[:, :, r] >= asked - TOLERANCE
        if ask.model == -1:
            return room
        mine = self._table.device_model == ask.model
        enough = mine & (self._device_free >= min(ask.count, 1.0) - TOLERANCE)
        return room & (enough.sum(axis=2) >= max(ask.count, 1.0))

    def _throughout(self, first: int, last: int) -> NodeTable:
        """What is free in all of these pieces, device by device."""
        table = self._table.copy()
        table.free = np.asfortranarray(self._free[first : last + 1].min(axis=0))
        table.set_devices(self._device_free[first : last + 1].min(axis=0))
        return table

    def _last(self, until_s: float) -> int:
        """The piece in which that instant lies; what ends as a piece begins does not reach into it."""
        return max(int(np.searchsorted(self._begins_s, until_s - TOLERANCE)) - 1, 0)

    def _cut(self, at_s: float) -> int:
        """The piece that begins then, made where there is none; T for never."""
        t = int(np.searchsorted(self._begins_s, at_s - TOLERANCE))
        if math.isinf(at_s):
            return len(self._begins_s)
        if t == len(self._begins_s) or self._begins_s[t] > at_s + TOLERANCE:
            self._begins_s = np.insert(self._begins_s, t, at_s)
            self._free = np.insert(self._free, t, self._free[t - 1], axis=0)
            self._device_free = np.insert(self._device_free, t, self._device_free[t - 1], axis=0)
            self._until.clear()
        return t

    def _add(self, placements: Iterable[Placement], pieces: slice, sign: float) -> None:
        for placement in placements:
            i = self._table.index.get(placement.node)
            if i is None:
                continue
            share = placement.share
            self._free[pieces, i] += sign * np.array(amounts_of(share))
            self._device_free[pieces, i, list(share.devices)] += sign * share.device_share


class Backfill:
    """What the policy keeps for those that find no room, and what others may therefore have. Lives for one step."""

    def __init__(self, state: State, policy: Policy, ground: Ground, now_s: float) -> None:
        self._state, self._policy, self._ground, self._now_s = state, policy, ground, now_s
        self._started: list[Held] = []
        self._forecast: Forecast | None = None

    @property
    def kept(self) -> dict[str, tuple[Placement, ...]]:
        """By whom it is for."""
        return self._forecast.kept if self._forecast else {}

    @property
    def may_keep(self) -> bool:
        return len(self.kept) < self._policy.reservations_max

    def starts(self, record: Record, placements: tuple[Placement, ...]) -> None:
        """It has been given that from now on."""
        if not self._policy.reservations_max:
            return
        lasts_s = left_s(self._state, record, self._now_s)
        self._started.append((lasts_s, placements))
        if self._forecast is not None:
            self._forecast.hold(placements, 0.0, lasts_s)

    def room_now(self, record: Record, wants: Wants) -> tuple[Placement, ...] | None:
        """Room that delays nobody for whom something is kept."""
        assert self._forecast is not None
        return self._forecast.room_now(wants, left_s(self._state, record, self._now_s))

    def keep_for(self, record: Record, wants: Wants, table: NodeTable) -> bool:
        """Reserve the earliest room that is foreseen for it, as far as the policy does that; `table` is free now."""
        if not self.may_keep:
            return False
        if self._forecast is None:
            live = by_seq(self._state.live)
            running = [(left_s(self._state, r, self._now_s), r.attempt.placements) for r in live if r.attempt]
            self._forecast = Forecast(table, [*running, *self._started], self._policy, self._ground)
        return self._forecast.keep_for(record, wants, left_s(self._state, record, self._now_s))


def left_s(state: State, record: Record, now_s: float) -> float:
    """Seconds that it is expected to hold its room once it has it; infinite where nobody knows.

    What has run longer than was expected is believed to run for as long again as it is over.
    """
    if record.status.is_live and record.attempt is not None and record.attempt.stopping_s is not None:
        return record.workload.grace_s
    expected_s = state.durations.estimate_s(record)
    if expected_s is None:
        return math.inf
    attempt = record.attempt
    ran_s = 0.0 if attempt is None or attempt.started_s is None else now_s - attempt.started_s
    rest_s = expected_s - saved_s(record) - ran_s
    return rest_s if rest_s > 0 else max(OVERDUE_S, -rest_s)


def _instants(held: Iterable[Held]) -> tuple[Floats, list[list[Placement]]]:
    """When pieces begin, now first, and what becomes free as each begins."""
    ends = sorted(((end_s, i, p) for i, (end_s, p) in enumerate(held) if math.isfinite(end_s)))
    instants: Floats = np.unique([end_s for end_s, _, _ in ends])
    if len(instants) > INSTANTS_MAX:
        instants = instants[_spaced(len(instants))]
    begins_s = np.concatenate([[0.0], instants])
    gives: list[list[Placement]] = [[] for _ in begins_s]
    for end_s, _, placements in ends:
        gives[int(np.searchsorted(instants, end_s)) + 1].extend(placements)
    return begins_s, gives


def _spaced(count: int) -> Indices:
    """INSTANTS_MAX of so many positions, the last among them: close together at first, as the near matters most."""
    steps: NDArray[np.float64] = np.geomspace(1, count, INSTANTS_MAX)
    return np.unique(np.maximum(np.ceil(steps), np.arange(1, INSTANTS_MAX + 1))).astype(np.intp) - 1
