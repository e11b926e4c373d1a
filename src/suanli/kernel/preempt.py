"""Making room: which running work to end, with notice, for something of higher priority."""

from collections.abc import Iterable

import msgspec
import numpy as np

from suanli.domain.record import Placement, Record, Status
from suanli.kernel.asks import Wants
from suanli.policies.table import RESOURCES, TOLERANCE, Ask, Indices, NodeTable, share_vector


class Room(msgspec.Struct, frozen=True):
    """Where the workload will go once `victims` have left."""

    placements: tuple[Placement, ...]
    victims: tuple[Record, ...]


class _NodePlan(msgspec.Struct, frozen=True):
    node: int
    victims: tuple[Record, ...]
    lost: float


def lost_work(record: Record, now_s: float) -> float:
    """What would be run again: seconds since the last checkpoint times devices held, or cores where none are."""
    if record.attempt is None:
        return 0.0
    shares = [placement.share for placement in record.attempt.placements]
    devices = sum(share.accelerator_count for share in shares)
    return record.unsaved_s(now_s) * (devices or sum(share.cpus for share in shares))


class Victims:
    """What may be ended for something else, by node. Built once a step; `without` shares all but the one."""

    def __init__(self, table: NodeTable, records: dict[str, Record], now_s: float) -> None:
        self._table = table
        self._records = records
        self.lost = {key: lost_work(record, now_s) for key, record in records.items()}
        rows = [
            (table.index[p.node], r, p) for r in records.values() if r.attempt for p in r.attempt.placements
        ]
        self._nodes = np.array([i for i, _, _ in rows], dtype=np.intp)
        self._priorities = np.array([r.workload.priority for _, r, _ in rows], dtype=np.int64)
        self._vectors = np.array([share_vector(p.share) for _, _, p in rows]).reshape(
            len(rows), len(RESOURCES)
        )
        self._devices = np.array([p.share.accelerator_count for _, _, p in rows])
        self._by_node: dict[int, list[Record]] = {}
        for i, record, _ in rows:
            self._by_node.setdefault(i, []).append(record)
        for victims in self._by_node.values():
            victims.sort(key=lambda r: (self.lost[r.key], r.workload.priority, -r.seq))

    @classmethod
    def among(cls, live: Iterable[Record], table: NodeTable, now_s: float) -> "Victims":
        """Preemptible work that is not stopping already and lies on nodes of the table alone."""
        chosen = {
            r.key: r
            for r in live
            if r.status is not Status.STOPPING
            and r.workload.preemptible
            and r.attempt is not None
            and all(p.node in table.index for p in r.attempt.placements)
        }
        return cls(table, chosen, now_s)

    def without(self, key: str) -> "Victims":
        twin = object.__new__(Victims)
        twin.__dict__.update(self.__dict__)
        twin._records = {k: r for k, r in self._records.items() if k != key}
        return twin

    def any_below(self, priority: int) -> bool:
        return bool((self._priorities < priority).any())

    def on(self, i: int, priority: int) -> list[Record]:
        """Those on node `i` of lower priority, least lost work first."""
        return [
            r for r in self._by_node.get(i, ()) if r.workload.priority < priority and r.key in self._records
        ]

    def promising(self, table: NodeTable, ask: Ask, priority: int) -> Indices:
        """Nodes where ending every lower one could make room: a bound, so that hopeless nodes are not searched."""
        below = self._priorities < priority
        free = table.free.copy()
        np.add.at(free, self._nodes[below], self._vectors[below])
        could = table.able(ask) & table.usable & (free >= ask.vector - TOLERANCE).all(axis=1)
        if ask.model >= 0:
            devices = np.where(table.device_model == ask.model, table.device_free, 0.0).sum(axis=1)
            np.add.at(devices, self._nodes[below], self._devices[below])
            could &= devices >= ask.count - TOLERANCE
        touched = np.zeros(len(could), dtype=np.bool_)
        touched[self._nodes[below]] = True
        return np.flatnonzero(could & touched)


def make_room(table: NodeTable, wants: Wants, priority: int, victims: Victims) -> Room | None:
    """The cheapest room found by ending preemptible work of lower declared priority, or None.

    `table` must already count as free what is held by work that is stopping. On each node victims are taken in order
    of lost work until the share fits, then those not needed after all are spared; then the nodes with the least lost
    work make up the gang. Exact where one victim per node is enough, greedy beyond. O(N · victims per node).
    """
    for ask, size in wants.options():
        room = _room_for(table, ask, size, priority, victims)
        if room is not None:
            return room
    return None


def _room_for(table: NodeTable, ask: Ask, size: int, priority: int, victims: Victims) -> Room | None:
    free_now = table.fitting(ask)
    plans = [_NodePlan(int(i), (), 0.0) for i in np.flatnonzero(free_now)]
    promising = [int(i) for i in victims.promising(table, ask, priority) if not free_now[i]]
    if len(plans) + len(promising) < size:
        return None
    for i in promising:
        chosen = _fewest_victims(table, i, ask, victims.on(i, priority))
        if chosen:
            plans.append(_NodePlan(i, chosen, sum(victims.lost[v.key] for v in chosen)))
    if len(plans) < size:
        return None
    plans.sort(key=lambda p: (p.lost, len(p.victims), p.node))
    taken = plans[:size]
    ending = {victim.key: victim for plan in taken for victim in plan.victims}
    after = table.copy()
    for victim in ending.values():
        if victim.attempt is not None:
            after.give(victim.attempt.placements)
    return Room(tuple(after.placement(plan.node, ask) for plan in taken), tuple(ending.values()))


def _fewest_victims(table: NodeTable, i: int, ask: Ask, victims: list[Record]) -> tuple[Record, ...]:
    """Victims on node `i`, cheapest first, until `ask` fits, less those that turn out not to be needed."""
    chosen: list[Record] = []
    for victim in victims:
        chosen.append(victim)
        if _fits_without(table, i, ask, chosen):
            break
    else:
        return ()
    for victim in reversed(chosen[:-1]):
        fewer = [v for v in chosen if v is not victim]
        if _fits_without(table, i, ask, fewer):
            chosen = fewer
    return tuple(chosen)


def _fits_without(table: NodeTable, i: int, ask: Ask, gone: list[Record]) -> bool:
    free = table.free[i].copy()
    devices = table.device_free[i].copy()
    for record in gone:
        for placement in record.attempt.placements if record.attempt else ():
            if placement.node == table.names[i]:
                free += share_vector(placement.share)
                devices[list(placement.share.devices)] += placement.share.device_share
    if (free < ask.vector - TOLERANCE).any():
        return False
    if ask.model < 0:
        return ask.model == -1
    mine = devices[table.device_model[i] == ask.model]
    if ask.count < 1:
        return bool((mine >= ask.count - TOLERANCE).any())
    return int((mine >= 1.0 - TOLERANCE).sum()) >= ask.count
