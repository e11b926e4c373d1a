"""What would make a waiting workload run now: the step again with one constraint relaxed."""

from collections.abc import Iterator

import msgspec
import numpy as np

from suanli.domain.decision import Memory, Place, Stop
from suanli.domain.record import Record, Status
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.parts import Policy

RELAXATIONS_MAX = 24
"""Trials for one workload; each is a whole step."""

PRIORITY_MAX = 100


class Relaxation(msgspec.Struct, frozen=True, kw_only=True):
    """One change that makes it run: as `--set` would spell it, in words, and what it costs others.

    `change` is empty where it is not a change of the workload itself. `preempts` are those that would be stopped.
    """

    change: str
    sentence: str
    preempts: tuple[str, ...] = ()
    lost_s: float = 0.0


def would_run_if(
    state: State, policy: Policy, memory: Memory, key: str, now_s: float, rng: np.random.Generator
) -> tuple[Relaxation, ...]:
    """Single changes after which a step starts the workload at once or stops others for it, the least first.

    Every answer was tried by `step` on a copy of the state. O(24 steps on the workload alone).
    """
    record = state.records.get(key)
    if record is None or record.status not in (Status.WAITING, Status.HELD):
        return ()
    found: list[Relaxation] = []
    alone = _without_rivals(state, record)
    for change, sentence, trial in list(_changes(alone, record, now_s))[:RELAXATIONS_MAX]:
        decision, _ = step(trial, policy, memory, now_s, rng)
        preempts = tuple(a for a in decision.actions if isinstance(a, Stop) and a.stopped_for == key)
        starts = any(isinstance(a, Place) and a.key == key for a in decision.actions)
        if starts or preempts:
            lost_s = sum(stop.lost_s for stop in preempts)
            found.append(
                Relaxation(
                    change=change,
                    sentence=sentence,
                    preempts=tuple(stop.key for stop in preempts),
                    lost_s=lost_s,
                )
            )
    return tuple(_least_of_each_kind(found))


def _without_rivals(state: State, record: Record) -> State:
    """The same state where only those ahead of nobody remain: running work, and the workload itself.

    Others that wait hold nothing, so leaving them out changes no answer but the order's, which `priority` tests.
    """
    trial = state.copy()
    trial.waiting = {record.key: record}
    return trial


def _changes(state: State, record: Record, now_s: float) -> Iterator[tuple[str, str, State]]:
    w = record.workload
    if record.status is Status.HELD:
        yield "hold=false", "it were released", _changed(state, record, held=False)
        return
    if w.depends_on:
        missing = [n for n in w.depends_on if not _succeeded(state, n)]
        if missing:
            relaxed = _changed(state, record, after=(), model_from="")
            change = "" if w.model_from in missing else "after=[]"  # a service cannot do without its model
            yield change, f"it did not have to wait for {', '.join(missing)}", relaxed
            return
    if max(w.not_before_s or 0.0, record.not_before_s) > now_s:
        yield "not_before=", "its start time had come", _changed(state, record, not_before_s=None)
        return
    yield from _smaller(state, record)
    yield from _elsewhere(state, record)
    if w.priority < PRIORITY_MAX:
        yield (
            f"priority={PRIORITY_MAX}",
            f"its priority were {PRIORITY_MAX} instead of {w.priority}",
            _changed(state, record, priority=PRIORITY_MAX),
        )
    yield from _larger_fleet(state, record)


def _smaller(state: State, record: Record) -> Iterator[tuple[str, str, State]]:
    w, demand = record.workload, record.workload.demand
    for nodes in _halvings(w.nodes):
        yield (
            f"resources.nodes={nodes}",
            f"it asked for {nodes} nodes instead of {w.nodes}",
            _changed(state, record, nodes=nodes, elastic_nodes=None),
        )
    for accelerator in demand.accelerators[:1]:
        for count in _halvings(int(accelerator.count)):
            fewer = (msgspec.structs.replace(accelerator, count=float(count)),)
            yield (
                f"resources.accelerators={accelerator.model}:{count}",
                f"it asked for {count} {accelerator.model} per node instead of {accelerator.count:g}",
                _changed(state, record, demand=msgspec.structs.replace(demand, accelerators=fewer)),
            )
    for name, unit in (("cpus", ""), ("memory_bytes", "GiB")):
        most = state.table.free[state.table.usable][:, 0 if name == "cpus" else 1].max(initial=0.0)
        asked = getattr(demand, name)
        room = int(most) if name == "cpus" else int(most) // 2**30 * 2**30
        if 0 < room < asked:
            shown = f"{room / 2**30:g}{unit}" if unit else f"{room}"
            less = msgspec.structs.replace(demand, **{name: type(asked)(room)})
            field = name.removesuffix("_bytes")
            yield (
                f"resources.{field}={shown}",
                f"it asked for {shown} of {field} per node",
                _changed(state, record, demand=less),
            )


def _elsewhere(state: State, record: Record) -> Iterator[tuple[str, str, State]]:
    demand = record.workload.demand
    named = {a.model for a in demand.accelerators}
    for model in state.table.models if demand.accelerators else ():
        if model not in named:
            count = demand.accelerators[0].count
            other = (msgspec.structs.replace(demand.accelerators[0], model=model),)
            yield (
                f"resources.accelerators={model}:{count:g}",
                f"it took {model} instead of {demand.accelerators[0].model}",
                _changed(state, record, demand=msgspec.structs.replace(demand, accelerators=other)),
            )
    if record.workload.node_labels:
        yield (
            "node_labels={}",
            "it did not insist on its node labels",
            _changed(state, record, node_labels={}),
        )


def _larger_fleet(state: State, record: Record) -> Iterator[tuple[str, str, State]]:
    """As many more nodes as the gang has, of each kind that exists; or its team's quota lifted."""
    team = next((t for t in state.fleet.teams if t.name == record.workload.team and t.quota), None)
    if team is not None:
        others = tuple(t for t in state.fleet.teams if t is not team)
        trial = state.copy()
        trial.set_nodes(msgspec.structs.replace(state.fleet, teams=others), state.unusable)
        yield "", f"the quota of team {team.name} were lifted", trial
    kinds = {(n.accelerators, n.cpus, n.memory_bytes): n for n in state.table.nodes}
    for kind in list(kinds.values())[:4]:
        more = tuple(
            msgspec.structs.replace(kind, name=f"one-more-{i}") for i in range(record.workload.nodes)
        )
        trial = state.copy()
        trial.set_nodes(msgspec.structs.replace(state.fleet, nodes=state.fleet.nodes + more), state.unusable)
        count = record.workload.nodes
        yield "", f"the fleet had {count} more node{'s' * (count > 1)} like {kind.name}", trial


def _changed(state: State, record: Record, **changes: object) -> State:
    trial = state.copy()
    workload = msgspec.structs.replace(record.workload, **changes)
    status = Status.WAITING if not workload.held else record.status
    changed = msgspec.structs.replace(record, workload=workload, status=status, not_before_s=0.0)
    trial.apply([changed])
    return trial


def _succeeded(state: State, name: str) -> bool:
    group = state.by_name.get(name, {})
    return bool(group) and all(r.status is Status.SUCCEEDED for r in group.values())


def _halvings(count: int) -> list[int]:
    """Smaller sizes to try, the largest first: count-1 where that is near, then halves."""
    sizes = {count - 1} | {count >> k for k in range(1, count.bit_length())}
    return sorted((size for size in sizes if 0 < size < count), reverse=True)


def _least_of_each_kind(found: list[Relaxation]) -> Iterator[Relaxation]:
    """Of several sizes of the same change the first, which is the least, is enough."""
    seen: set[str] = set()
    for relaxation in found:
        field = relaxation.change.partition("=")[0] or relaxation.sentence
        if field not in seen:
            seen.add(field)
            yield relaxation
