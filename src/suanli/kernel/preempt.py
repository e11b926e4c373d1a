"""Making room: which running work to end, with notice, for something of higher priority."""

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from heapq import heappush, heapreplace
from typing import NamedTuple

import msgspec
import numpy as np

from suanli.domain.record import Placement, Record, Status
from suanli.domain.workload import Kind
from suanli.kernel.asks import Wants
from suanli.kernel.holdings import Holdings
from suanli.kernel.state import State
from suanli.policies.order.priority import standing
from suanli.policies.table import TOLERANCE, Ask, Bools, Floats, NodeTable, amounts_of

PRIORITY_MAX = 100
"""The highest that can be declared."""

NODES_SEARCHED_MAX = 256
"""Nodes on which one search looks for victims, beyond those that it needs; those with the cheapest go first."""


class Claim(NamedTuple):
    """With what declared priority room is asked for, and whether for a replica of a service."""

    priority: int
    serves: bool = False


def claim_of(record: Record) -> Claim:
    return Claim(record.workload.priority, record.workload.kind is Kind.SERVE)


class Room(msgspec.Struct, frozen=True):
    """Where the workload will go once `victims` have left. `lost` is seconds times devices, or cores without any."""

    placements: tuple[Placement, ...]
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
    """What may be ended for something else: preemptible, not stopping already, on nodes of the table alone.

    Each has the standing that it started with (`policies.order.priority`), and only a priority above it may end it.
    For a service that of work that saves is what was declared: waiting must not keep it from being taken back at the
    next peak, and what it did until then is kept. Lives for one step.
    """

    def __init__(self, state: State, stopping: Container[str], now_s: float) -> None:
        chosen = [r for r in state.live.values() if r.key not in stopping and _may_end(r, state.table)]
        self.lost = {record.key: lost_work(record, now_s) for record in chosen}
        chosen.sort(key=lambda r: (self.lost[r.key], r.workload.priority, -r.seq))
        self._held = Holdings(state.table, chosen)
        declared: Floats = np.array([r.workload.priority for r in chosen], dtype=np.float64)
        points = standing(declared, np.array([state.waited_s(r, now_s) for r in chosen], dtype=np.float64))
        saves = np.array([r.workload.saves for r in chosen], dtype=np.bool_)
        self._standing: dict[bool, Floats] = {False: points, True: np.where(saves, declared, points)}
        self._ranked: dict[bool, list[float]] = {
            serves: np.sort(each).tolist() for serves, each in self._standing.items()
        }
        self._gone: Bools = np.zeros(len(chosen), dtype=np.bool_)
        self._position = {record.key: k for k, record in enumerate(chosen)}
        self._rows: dict[int, list[int]] | None = None
        self._could: dict[tuple[bool, int], NodeTable] = {}
        self._answers: dict[tuple[Wants, bool, int], bool] = {}

    def remove(self, key: str) -> None:
        """It has been chosen: it cannot be ended twice."""
        if key in self._position:
            self._gone[self._position[key]] = True

    def could_make_room(self, table: NodeTable, wants: Wants, claim: Claim) -> bool:
        """Whether ending all that may be ended for that claim would make room. O(N), after O(victims) once.

        Exact for the table as it was when first asked for such a claim; as the step goes on there is less room, so
        that a yes may have become untrue (`look_again`), but never a no.
        """
        below = self._count_below(claim)
        if not below:
            return False
        known = self._answers.get((wants, claim.serves, below))
        if known is None:
            could = self.all_ended(table, claim)
            known = self._answers[wants, claim.serves, below] = any(
                could.may_fit(ask) and int(np.count_nonzero(could.fitting(ask))) >= wants.fewest
                for ask, _ in wants.alternatives()
            )
        return known

    def all_ended(self, table: NodeTable, claim: Claim) -> NodeTable:
        """`table` as if all that may be ended for that claim had left."""
        at = claim.serves, self._count_below(claim)
        known = self._could.get(at)
        if known is None:
            known = self._could[at] = self._held.without(table, self._below(claim))
        return known

    def look_again(self) -> None:
        """Forget what was known of the table."""
        self._could.clear()
        self._answers.clear()

    def nodes_by_cheapest(self, claim: Claim) -> list[tuple[int, float]]:
        """(node, lost work of its cheapest victim) of all nodes that hold one, ascending."""
        rows = np.flatnonzero(self._below(claim)[self._held.holder])  # rows are in order of lost work
        _, first = np.unique(self._held.node[rows], return_index=True)
        return [
            (int(self._held.node[row]), self.lost[self._held.records[self._held.holder[row]].key])
            for row in rows[np.sort(first)]
        ]

    def on(self, i: int, claim: Claim) -> list[Record]:
        """Those on node `i` that may be ended for that claim, least lost work first."""
        if self._rows is None:
            self._rows = {}
            for node, holder in zip(self._held.node.tolist(), self._held.holder.tolist(), strict=True):
                self._rows.setdefault(node, []).append(holder)
        below = self._below(claim)
        return [self._held.records[k] for k in self._rows.get(i, ()) if below[k]]

    def _below(self, claim: Claim) -> Bools:
        return (self._standing[claim.serves] < claim.priority) & ~self._gone

    def _count_below(self, claim: Claim) -> int:
        return bisect_left(self._ranked[claim.serves], claim.priority)


def _may_end(record: Record, table: NodeTable) -> bool:
    attempt = record.attempt
    if attempt is None or not record.workload.preemptible:
        return False
    return all(placement.node in table.index for placement in attempt.placements)


def is_movable(record: Record) -> bool:
    """Whether it may be stopped to start again on another node: it runs, on one alone, and is preemptible."""
    attempt = record.attempt
    if record.status is not Status.RUNNING or attempt is None or not record.workload.preemptible:
        return False
    return len(attempt.placements) == 1


def make_room(table: NodeTable, wants: Wants, claim: Claim, victims: Victims) -> Room | None:
    """The cheapest room found by ending preemptible work of lower standing than the claim, or None.

    `table` must already count as free what is held by work that is stopping. No more nodes are cleared than the
    workload needs at all. On each node the cheapest single victim that is enough competes with victims taken in order
    of lost work; then the nodes with the least lost work make up the gang, and whoever is not needed after all is
    spared. Exact where one node and one victim is enough, greedy beyond. O(searched nodes · victims per node).
    """
    rooms = [_room_for(table, ask, wants.fewest, claim, victims) for ask, _ in wants.alternatives()]
    found = [room for room in rooms if room is not None]
    return min(found, key=lambda room: (room.lost, len(room.victims)), default=None)


def _room_for(table: NodeTable, ask: Ask, size: int, claim: Claim, victims: Victims) -> Room | None:
    free_now = table.fitting(ask)
    possible = victims.all_ended(table, claim).fitting(ask)
    chosen = [int(i) for i in np.flatnonzero(free_now)[:size]]
    ending: dict[str, Record] = {}
    for i, gone in _cheapest_plans(table, ask, size - len(chosen), possible & ~free_now, claim, victims):
        chosen.append(i)
        ending.update((victim.key, victim) for victim in gone)
    if len(chosen) < size:
        return None
    needed = _without_the_spared(table, ask, chosen, list(ending.values()), victims.lost)
    after = table.copy()
    for victim in needed:
        if victim.attempt is not None:
            after.give(victim.attempt.placements)
    lost = sum(victims.lost[victim.key] for victim in needed)
    return Room(tuple(after.placement(i, ask) for i in sorted(chosen)), tuple(needed), lost)


def _cheapest_plans(
    table: NodeTable, ask: Ask, count: int, possible: Bools, claim: Claim, victims: Victims
) -> Iterator[tuple[int, tuple[Record, ...]]]:
    """The `count` nodes to clear with the least lost work, and whom to end on each; fewer where there are not so many.

    Nodes are searched from the cheapest victim up, until no other can be cheaper or `NODES_SEARCHED_MAX` is reached.
    """
    best: list[tuple[float, int, int, int, tuple[Record, ...]]] = []  # a heap, the most expensive on top
    searched = 0
    for i, cheapest in victims.nodes_by_cheapest(claim) if count else ():
        if len(best) == count and (cheapest > -best[0][0] or searched >= NODES_SEARCHED_MAX):
            break
        gone = _to_end_on(table, i, ask, victims.on(i, claim), victims.lost) if possible[i] else ()
        if not gone:
            continue
        searched += 1
        lost = sum(victims.lost[v.key] for v in gone)
        plan = (-lost, -len(gone), -max(v.workload.priority for v in gone), -i, gone)
        if len(best) < count:
            heappush(best, plan)
        elif plan > best[0]:  # -i decides before `gone` is ever compared
            heapreplace(best, plan)
    return ((-minus_node, gone) for _, _, _, minus_node, gone in sorted(best, reverse=True))


def _to_end_on(
    table: NodeTable, i: int, ask: Ask, victims: Sequence[Record], lost: dict[str, float]
) -> tuple[Record, ...]:
    """The cheapest single victim on node `i` that is enough, or several in order of lost work, whichever loses less."""
    several: list[Record] = []
    room = _NodeRoom(table, i, ask)
    for victim in victims:
        several.append(victim)
        room.give(victim)
        if room.fits():
            break
    else:
        return ()
    fewer = _without_the_spared(table, ask, [i], several, lost)
    single = next((v for v in victims if _NodeRoom(table, i, ask, (v,)).fits()), None)
    if single is not None and lost[single.key] <= sum(lost[v.key] for v in fewer):
        return (single,)
    return tuple(fewer)


def _without_the_spared(
    table: NodeTable, ask: Ask, nodes: Sequence[int], ending: Sequence[Record], lost: dict[str, float]
) -> list[Record]:
    """`ending` less those without whom all of `nodes` have room as well, the most expensive spared first."""
    needed = list(ending)
    for victim in sorted(ending, key=lambda v: -lost[v.key]):
        rest = [v for v in needed if v is not victim]
        touched = [i for i in nodes if _is_on(victim, table.names[i])]
        if all(_NodeRoom(table, i, ask, rest).fits() for i in touched):
            needed = rest
    return needed


def _is_on(record: Record, node: str) -> bool:
    return record.attempt is not None and any(p.node == node for p in record.attempt.placements)


class _NodeRoom:
    """What node `i` has free for `ask` once some have left. Plain numbers: it is asked very often of very little."""

    def __init__(self, table: NodeTable, i: int, ask: Ask, gone: Iterable[Record] = ()) -> None:
        self._name = table.names[i]
        self._ask = ask
        self._free = table.free[i].tolist()
        self._mine = (table.device_model[i] == ask.model).tolist()
        self._devices = table.device_free[i].tolist()
        for record in gone:
            self.give(record)

    def give(self, record: Record) -> None:
        for placement in record.attempt.placements if record.attempt else ():
            if placement.node == self._name:
                share = placement.share
                for r, amount in enumerate(amounts_of(share)):
                    self._free[r] += amount
                for d in share.devices:
                    self._devices[d] += share.device_share

    def fits(self) -> bool:
        for free, asked in zip(self._free, self._ask.amounts, strict=True):
            if asked > 0 and free < asked - TOLERANCE:
                return False
        if self._ask.model < 0:
            return self._ask.model == -1
        left = [free for free, mine in zip(self._devices, self._mine, strict=True) if mine]
        if self._ask.count < 1:
            return max(left, default=0.0) >= self._ask.count - TOLERANCE
        return sum(free >= 1.0 - TOLERANCE for free in left) >= self._ask.count
