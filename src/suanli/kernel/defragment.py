"""Defragmentation: a running workload is moved elsewhere, so that one that fits nowhere fits where it was."""

from collections.abc import Container

import msgspec
import numpy as np

from suanli.domain.record import Placement, Record
from suanli.kernel.asks import Wants, ask_held, room_among
from suanli.kernel.holdings import Holdings
from suanli.kernel.preempt import is_movable, lost_work
from suanli.kernel.state import State
from suanli.policies.parts import Ground, Policy
from suanli.policies.table import TOLERANCE, Ask, Bools, Floats, NodeTable

SHAPES_TRIED_MAX = 16
"""Kinds of movable work for which one search looks for room elsewhere."""


class Move(msgspec.Struct, frozen=True):
    """`record` goes to `to`; then there is `room` for the other."""

    record: Record
    to: Placement
    room: Placement


class Movable:
    """What may be moved: preemptible, running on one node of the table, not stopping. Lives for one step.

    Whoever is moved saves its work, if it does, and starts again at once where room is kept for it; so its standing
    does not matter, but no more is moved than `Fleet.migrate` allows: that part of all that have ever been started.
    """

    def __init__(self, state: State, stopping: Container[str], now_s: float) -> None:
        records = [r for r in state.live.values() if r.key not in stopping and _may_move(r, state.table)]
        lost = {record.key: lost_work(record, now_s) for record in records}
        records.sort(key=lambda r: (lost[r.key], _devices(r), r.workload.demand.cpus, r.seq))
        self.records = records
        self._held = Holdings(state.table, records)
        self._gone: Bools = np.zeros(len(records), dtype=np.bool_)
        self._position = {record.key: k for k, record in enumerate(records)}

    def remove(self, key: str) -> None:
        """It moves already."""
        if key in self._position:
            self._gone[self._position[key]] = True

    def find(self, table: NodeTable, wants: Wants, policy: Policy, ground: Ground) -> Move | None:
        """The cheapest single move that makes room for one node's share, or None. O(placements + N) for each try."""
        if wants.fewest > 1:
            return None
        for ask, _ in wants.alternatives():
            tried: set[Ask | tuple[object, ...]] = set()
            for k in np.flatnonzero(self._would_do(table, ask)).tolist():
                record = self.records[k]
                if _devices(record) > max(ask.count, 0.0) or len(tried) >= SHAPES_TRIED_MAX:
                    continue
                held = ask_held(table, record)
                shape = held.amounts, held.model, held.count, held.labels
                if shape in tried:
                    continue
                tried.add(shape)
                move = _moved(table, record, held, ask, policy, ground)
                if move is not None:
                    return move
        return None

    def _would_do(self, table: NodeTable, ask: Ask) -> Bools:
        """bool[records]: there would be room for `ask` on its node if it left. Rows are records: each has one node."""
        held = self._held
        does = ~self._gone & (table.able(ask) & table.usable)[held.node]
        for r, asked in enumerate(ask.amounts):
            if asked > 0:
                does &= table.free[held.node, r] + held.amounts[:, r] >= asked - TOLERANCE
        if ask.model < 0:
            return does
        return does & (self._devices_then(table, ask) >= max(ask.count, 1.0))

    def _devices_then(self, table: NodeTable, ask: Ask) -> Floats:
        """float[records]: devices of the model on its node that would have room for `ask`."""
        held, least = self._held, min(ask.count, 1.0) - TOLERANCE
        mine = table.device_model == ask.model
        enough = mine & (table.device_free >= least)
        free = table.device_free.reshape(-1)[held.device]
        more = mine.reshape(-1)[held.device] & (free < least) & (free + held.device_share >= least)
        gained = np.bincount(held.device_holder[more], minlength=len(self.records))
        return np.asarray(enough.sum(axis=1)[held.node] + gained, dtype=np.float64)


def _moved(
    table: NodeTable, record: Record, held: Ask, ask: Ask, policy: Policy, ground: Ground
) -> Move | None:
    """The move, if there is room for it on another node."""
    assert record.attempt is not None
    (here,) = record.attempt.placements
    i = table.index[here.node]
    others = np.ones(len(table.nodes), dtype=np.bool_)
    others[i] = False
    if not (table.fitting(held) & others).any():
        return None
    to = room_among(table, held, others, policy, ground)
    if to is None:
        return None
    after = table.copy()
    after.give((here,))
    return Move(record, to, after.placement(i, ask))


def _may_move(record: Record, table: NodeTable) -> bool:
    attempt = record.attempt
    return is_movable(record) and attempt is not None and attempt.placements[0].node in table.index


def _devices(record: Record) -> float:
    assert record.attempt is not None
    return record.attempt.placements[0].share.accelerator_count
