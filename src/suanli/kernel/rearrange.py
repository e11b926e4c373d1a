"""Clearing out what must leave, and the step's fifth part: move work off hot nodes, grow and shrink the fleet."""

from collections.abc import Callable

import msgspec
import numpy as np

from suanli.domain.decision import Action, AddNodes, Memory, RemoveNode, Reservation, Stop, WarnIdle
from suanli.domain.fleet import NodeScaling
from suanli.domain.record import Placement, Record
from suanli.domain.workload import EndCause
from suanli.kernel.asks import Wants, ask_held, room_among
from suanli.kernel.preempt import is_movable, lost_work
from suanli.kernel.state import State, by_seq
from suanli.policies.balance import (
    COOL_FRACTION,
    HOT_FOR_S,
    HOT_FRACTION,
    MOVE_AGAIN_AFTER_S,
    hot_since,
    hottest,
)
from suanli.policies.idle import judge
from suanli.policies.parts import Policy
from suanli.policies.scale import Short, empty_since, is_scaled, names_to_add, nodes_wanted
from suanli.policies.table import NodeTable

SHORT_MAX = 200
"""Waiting workloads looked at when counting nodes to add."""


class Outlook(msgspec.Struct, frozen=True):
    """What the walk through the queue has left.

    `table` is what is free for anybody, `unreserved` also what is kept for somebody; `spoken_for` are the nodes on
    which something was placed or reserved.
    """

    table: NodeTable
    unreserved: Callable[[], NodeTable]
    spoken_for: set[str]
    blocked: list[tuple[Record, Wants]]


class Changes(msgspec.Struct):
    """What rearranging adds to a decision. `stopping` is what is stopping or told to: nothing is stopped twice."""

    memory: Memory
    stopping: dict[str, Record]
    actions: list[Action] = msgspec.field(default_factory=list[Action])
    reservations: dict[str, Reservation] = msgspec.field(default_factory=dict[str, Reservation])

    def stop(self, record: Record, cause: EndCause, now_s: float, *, stopped_for: str = "") -> None:
        assert record.attempt is not None
        self.stopping[record.key] = record
        self.actions.append(
            Stop(
                key=record.key,
                number=record.attempt.number,
                cause=cause,
                stopped_for=stopped_for,
                lost_s=record.unsaved_s(now_s),
            )
        )

    def move(self, key: str, to: Placement, now_s: float) -> None:
        """It has been told to stop, and starts again there."""
        self.reservations[key] = Reservation(placements=(to,), since_s=now_s)
        self.memory = msgspec.structs.replace(self.memory, migrations=self.memory.migrations + 1)


def clear_out(state: State, memory: Memory, now_s: float) -> Changes:
    """What must leave, whatever waits: drained and idle work. First, so that its room is counted on. O(live)."""
    stopping = {record.key: record for record in by_seq(state.stopping)}
    changes = Changes(memory=memory, stopping=stopping)
    _drain(state, changes, now_s)
    _reclaim_idle(state, changes, now_s)
    return changes


def rearrange(state: State, outlook: Outlook, changes: Changes, now_s: float, policy: Policy) -> None:
    """At most one move per step, and node scaling, added to `changes`. O(live + N)."""
    _rebalance(state, outlook, changes, now_s, policy)
    _scale_nodes(state, outlook, changes, now_s)


def _drain(state: State, changes: Changes, now_s: float) -> None:
    """Everything on a draining node is moved; what cannot be preempted is left to end by itself.

    Replicas of services are ended once others stand in for them (`services.tend`), and not before.
    """
    draining = {name for name, why in state.unusable.items() if why == "draining"}
    if not draining:
        return
    for record in by_seq(state.live):
        on_it = record.attempt is not None and any(p.node in draining for p in record.attempt.placements)
        movable = record.workload.preemptible and not record.revision
        if on_it and movable and record.key not in changes.stopping:
            changes.stop(record, EndCause.DRAINED, now_s)


def _reclaim_idle(state: State, changes: Changes, now_s: float) -> None:
    before = changes.memory
    idle: dict[str, float] = {}
    warned = {key: at for key, at in before.warned_s.items() if key in state.live}
    for record in by_seq(state.reclaimable):
        key = record.key
        if key in changes.stopping:
            continue
        verdict = judge(record, state.use, before.idle_since_s.get(key), warned.get(key, -np.inf), now_s)
        if verdict.idle_since_s is None:
            continue
        idle[key] = verdict.idle_since_s
        if verdict.act == "stop":
            changes.stop(record, EndCause.IDLE, now_s)
        elif verdict.act == "warn":
            warned[key] = now_s
            used = state.use.get(key, 0.0)
            changes.actions.append(WarnIdle(key=key, used_fraction=used, idle_s=now_s - verdict.idle_since_s))
    changes.memory = msgspec.structs.replace(before, idle_since_s=idle, warned_s=warned)


def _rebalance(state: State, outlook: Outlook, changes: Changes, now_s: float, policy: Policy) -> None:
    """Move the cheapest-to-move single-node work off the node that has been hot the longest, if a cool one has room.

    Only what is measured to be hot now is relieved, and not while something waits that this fleet could hold: what is
    free is for that.
    """
    memory = changes.memory
    since = hot_since(memory.hot_since_s, state.load, now_s)
    moved = {key: at for key, at in memory.moved_s.items() if now_s - at < MOVE_AGAIN_AFTER_S}
    changes.memory = msgspec.structs.replace(memory, hot_since_s=since, moved_s=moved)
    hot = sorted((at, name) for name, at in since.items() if now_s - at >= HOT_FOR_S and _is_hot(state, name))
    if not hot or any(_could_hold(outlook.table, wants) for _, wants in outlook.blocked):
        return
    for _, name in hot:
        movable = [r for r in state.live.values() if _may_leave(r, name) and r.key not in moved]
        for record in sorted(movable, key=lambda r: (lost_work(r, now_s), r.seq)):
            target = None if record.key in changes.stopping else _cool_room(state, outlook, record, policy)
            if target is not None:
                changes.stop(record, EndCause.REBALANCED, now_s)
                changes.reservations[record.key] = Reservation(placements=(target,), since_s=now_s)
                changes.memory = msgspec.structs.replace(
                    changes.memory,
                    hot_since_s={node: at for node, at in since.items() if node != name},
                    moved_s={**moved, record.key: now_s},
                )
                return


def _is_hot(state: State, node: str) -> bool:
    metrics = state.load.get(node)
    return metrics is not None and hottest(metrics) >= HOT_FRACTION


def _could_hold(table: NodeTable, wants: Wants) -> bool:
    return any(int(table.able(ask).sum()) >= wants.fewest for ask, _ in wants.alternatives())


def _may_leave(record: Record, node: str) -> bool:
    attempt = record.attempt
    return is_movable(record) and attempt is not None and attempt.placements[0].node == node


def _cool_room(state: State, outlook: Outlook, record: Record, policy: Policy) -> Placement | None:
    table, ask = outlook.table, ask_held(outlook.table, record)
    cool = np.array([_is_cool(state, name) for name in table.names], dtype=np.bool_)
    return room_among(table, ask, cool, policy)


def _is_cool(state: State, node: str) -> bool:
    metrics = state.load.get(node)
    return metrics is not None and hottest(metrics) < COOL_FRACTION


def _scale_nodes(state: State, outlook: Outlook, changes: Changes, now_s: float) -> None:
    """Add what has been missing for `add_after_s`; remove what has been empty for `remove_after_s` and helps nobody."""
    scaling = state.fleet.scaling
    if scaling is None:
        return
    memory = changes.memory
    ours = [name for name in state.table.names if is_scaled(scaling, name)]
    wanted = nodes_wanted(scaling, len(ours), _short(scaling, outlook))
    short_since = (memory.short_since_s if memory.short_since_s is not None else now_s) if wanted else None
    if short_since is not None and now_s - short_since >= scaling.add_after_s:
        coming = names_to_add(scaling, wanted, state.table.names)
        changes.actions.append(AddNodes(names=coming))
        short_since = None
    holding = {p.node for r in state.live.values() if r.attempt for p in r.attempt.placements}
    free = [name for name in ours if name not in holding and name not in outlook.spoken_for]
    empty = empty_since(memory.empty_since_s, free, now_s)
    if not wanted:
        old = [name for name, at in empty.items() if now_s - at >= scaling.remove_after_s]
        changes.actions += [RemoveNode(name=name) for name in old]
    changes.memory = msgspec.structs.replace(memory, short_since_s=short_since, empty_since_s=empty)


def _short(scaling: NodeScaling, outlook: Outlook) -> list[Short]:
    """What is blocked, and how many nodes each lacks beside those that have room for it."""
    template = NodeTable([scaling.template])
    short: list[Short] = []
    unreserved = outlook.unreserved()
    for record, wants in outlook.blocked[:SHORT_MAX]:
        demand = record.workload.demand
        fits = [int(unreserved.fitting(ask).sum()) for ask, _ in wants.alternatives()]
        named = demand.accelerators or (None,)
        asks = tuple(template.ask(demand, accelerator, record.workload.node_labels) for accelerator in named)
        short.append(Short(asks, max(1, wants.fewest - max(fits))))
    return short
