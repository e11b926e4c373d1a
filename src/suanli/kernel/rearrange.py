"""The step's fifth part: move work off hot nodes, give back what lies idle, grow and shrink the fleet."""

import msgspec
import numpy as np

from suanli.domain.decision import Action, AddNodes, Memory, RemoveNode, Reservation, Stop, WarnIdle
from suanli.domain.record import Placement, Record, Status
from suanli.domain.workload import EndCause
from suanli.kernel.asks import Wants
from suanli.kernel.preempt import lost_work
from suanli.kernel.state import State
from suanli.policies.balance import COOL_FRACTION, HOT_FOR_S, MOVE_AGAIN_AFTER_S, hot_since, hottest
from suanli.policies.idle import judge
from suanli.policies.parts import Policy
from suanli.policies.scale import empty_since, is_scaled, names_to_add, nodes_wanted
from suanli.policies.table import Ask, NodeTable

SHORT_MAX = 200
"""Waiting workloads looked at when counting nodes to add."""


class Changes(msgspec.Struct):
    """What rearranging adds to a decision."""

    memory: Memory
    actions: list[Action] = msgspec.field(default_factory=list[Action])
    reservations: dict[str, Reservation] = msgspec.field(default_factory=dict[str, Reservation])


def rearrange(
    state: State,
    table: NodeTable,
    memory: Memory,
    now_s: float,
    unplaced: list[tuple[Record, Wants]],
    policy: Policy,
) -> Changes:
    """Idle verdicts, drains, at most one move per step, and node scaling. O(live + N)."""
    changes = Changes(memory=memory)
    _drain(state, changes, now_s)
    _reclaim_idle(state, changes, now_s)
    if not unplaced:
        _rebalance(state, table, changes, now_s, policy)
    _scale_nodes(state, changes, now_s, unplaced)
    return changes


def _drain(state: State, changes: Changes, now_s: float) -> None:
    """Everything on a draining node is moved; what cannot be preempted is left to end by itself."""
    draining = {name for name, why in state.unusable.items() if why == "draining"}
    if not draining:
        return
    for record in state.live.values():
        on_it = record.attempt is not None and any(p.node in draining for p in record.attempt.placements)
        if on_it and record.status is not Status.STOPPING and record.workload.preemptible:
            changes.actions.append(_stop(record, EndCause.DRAINED, now_s))


def _reclaim_idle(state: State, changes: Changes, now_s: float) -> None:
    before = changes.memory
    idle: dict[str, float] = {}
    warned = {key: at for key, at in before.warned_s.items() if key in state.live}
    for key, record in state.live.items():
        if record.workload.idle is None or record.status is not Status.RUNNING:
            continue
        verdict = judge(record, state.use, before.idle_since_s.get(key), warned.get(key, -np.inf), now_s)
        if verdict.idle_since_s is None:
            continue
        idle[key] = verdict.idle_since_s
        if verdict.act == "stop":
            changes.actions.append(_stop(record, EndCause.IDLE, now_s))
        elif verdict.act == "warn":
            warned[key] = now_s
            used = state.use.get(key, 0.0)
            changes.actions.append(WarnIdle(key=key, used_fraction=used, idle_s=now_s - verdict.idle_since_s))
    changes.memory = msgspec.structs.replace(before, idle_since_s=idle, warned_s=warned)


def _rebalance(state: State, table: NodeTable, changes: Changes, now_s: float, policy: Policy) -> None:
    """Move the cheapest-to-move single-node work off the node that has been hot the longest, if a cool one has room."""
    memory = changes.memory
    since = hot_since(memory.hot_since_s, state.load, now_s)
    moved = {key: at for key, at in memory.moved_s.items() if now_s - at < MOVE_AGAIN_AFTER_S}
    changes.memory = msgspec.structs.replace(memory, hot_since_s=since, moved_s=moved)
    hot = sorted((at, name) for name, at in since.items() if now_s - at >= HOT_FOR_S)
    for _, name in hot:
        movable = [r for r in state.live.values() if _is_movable(r, name) and r.key not in moved]
        for record in sorted(movable, key=lambda r: (lost_work(r, now_s), r.seq)):
            target = _cool_room(state, table, record, policy)
            if target is not None:
                changes.actions.append(_stop(record, EndCause.REBALANCED, now_s))
                changes.reservations[record.key] = Reservation(placements=(target,), since_s=now_s)
                fresh = {**since}
                fresh.pop(name)
                changes.memory = msgspec.structs.replace(
                    changes.memory, hot_since_s=fresh, moved_s={**moved, record.key: now_s}
                )
                return


def _is_movable(record: Record, node: str) -> bool:
    attempt = record.attempt
    if record.status is not Status.RUNNING or attempt is None or not record.workload.preemptible:
        return False
    return len(attempt.placements) == 1 and attempt.placements[0].node == node


def _cool_room(state: State, table: NodeTable, record: Record, policy: Policy) -> Placement | None:
    assert record.attempt is not None
    share = record.attempt.placements[0].share
    model = table.models.index(share.accelerator) if share.accelerator else -1
    vector = np.array([share.cpus, share.memory_bytes, share.disk_bytes, share.network_bps])
    labels = tuple(sorted(record.workload.node_labels.items()))
    ask = Ask(vector, model, share.accelerator_count, share.accelerator, labels)
    cool = np.array([_is_cool(state, name) for name in table.names], dtype=np.bool_)
    candidates = np.flatnonzero(table.fitting(ask) & cool)
    if not len(candidates):
        return None
    return table.placement(int(policy.place(table, ask, candidates, 1)[0]), ask)


def _is_cool(state: State, node: str) -> bool:
    metrics = state.load.get(node)
    return metrics is not None and hottest(metrics) < COOL_FRACTION


def _scale_nodes(state: State, changes: Changes, now_s: float, unplaced: list[tuple[Record, Wants]]) -> None:
    scaling = state.fleet.scaling
    if scaling is None:
        return
    memory = changes.memory
    template = NodeTable([scaling.template])
    short = [
        (_on_template(template, record, ask), wants.sizes[-1])
        for record, wants in unplaced[:SHORT_MAX]
        for ask in wants.asks[:1]
    ]
    wanted = nodes_wanted(scaling, short)
    short_since = (memory.short_since_s if memory.short_since_s is not None else now_s) if wanted else None
    if short_since is not None and now_s - short_since >= scaling.add_after_s:
        coming = names_to_add(scaling, wanted, state.table.names)
        if coming:
            changes.actions.append(AddNodes(names=coming))
            short_since = None
    holding = {p.node for r in state.live.values() if r.attempt for p in r.attempt.placements}
    ours = [name for name in state.table.names if is_scaled(scaling, name)]
    empty = empty_since(memory.empty_since_s, [name for name in ours if name not in holding], now_s)
    if not unplaced:
        old = [name for name, at in empty.items() if now_s - at >= scaling.remove_after_s]
        changes.actions += [RemoveNode(name=name) for name in old]
    changes.memory = msgspec.structs.replace(memory, short_since_s=short_since, empty_since_s=empty)


def _on_template(template: NodeTable, record: Record, ask: Ask) -> Ask:
    wanted = [a for a in record.workload.demand.accelerators if a.model == ask.accelerator]
    return template.ask(record.workload.demand, wanted[0] if wanted else None, record.workload.node_labels)


def _stop(record: Record, cause: EndCause, now_s: float) -> Stop:
    assert record.attempt is not None
    return Stop(key=record.key, number=record.attempt.number, cause=cause, lost_s=record.unsaved_s(now_s))
