"""Single changes of a waiting workload, its team's quota or the fleet that may let it run, the least first."""

from collections.abc import Iterator

import msgspec
import numpy as np

from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Record, Status
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.kernel.state import State
from suanli.policies.table import RESOURCES, NodeTable

NODE_KINDS_MAX = 4
"""Kinds of node of which one more is tried."""

# field and units by resource, the largest first: a change is spelled in the first that leaves at least one
_SPELLED: dict[str, tuple[str, tuple[tuple[str, float], ...]]] = {
    "cpus": ("cpus", (("", 1.0),)),
    "memory_bytes": ("memory", (("GiB", 2.0**30), ("MiB", 2.0**20))),
    "disk_bytes": ("disk", (("GiB", 2.0**30), ("MiB", 2.0**20))),
    "network_bps": ("network", (("Gbps", 1e9), ("Mbps", 1e6))),
}


class Change(msgspec.Struct, frozen=True):
    """`spelled` as `--set` would have it, empty where it is no change of the declaration; the record with it made.

    Of several changes of one `kind` the first is the least. `fleet` is set where it is the fleet or a quota that
    changes, for all.
    """

    kind: str
    spelled: str
    sentence: str
    record: Record
    fleet: Fleet | None = None


def to_be_eligible(state: State, record: Record, now_s: float) -> Iterator[Change]:
    """What may not start now: held, else waiting for others, else for its time. Nothing where it may."""
    w = record.workload
    missing = [name for name in w.depends_on if not _has_succeeded(state, name)]
    if record.status is Status.HELD:
        yield Change("hold", "hold=false", "it were released", _changed(record, held=False))
    elif missing:
        # a service cannot do without its model
        spelled = "" if w.model_from in missing else "after=[]"
        sentence = f"it did not have to wait for {', '.join(missing)}"
        yield Change("after", spelled, sentence, _changed(record, after=(), model_from=""))
    elif record.not_before_s > now_s:
        again = msgspec.structs.replace(_changed(record, not_before_s=None), not_before_s=0.0)
        yield Change("retry", "", "the pause before its retry were over", again)
    elif (w.not_before_s or 0.0) > now_s:
        yield Change("start", "not_before=", "its start time had come", _changed(record, not_before_s=None))


def of_the_demand(table: NodeTable, record: Record) -> Iterator[Change]:
    """What it could ask less of, or elsewhere."""
    yield from _fewer_nodes(record)
    yield from _fewer_accelerators(record)
    yield from _less_of_the_rest(table, record)
    yield from _other_accelerators(table, record)
    if record.workload.node_labels:
        sentence = "it did not insist on its node labels"
        yield Change("labels", "node_labels={}", sentence, _changed(record, node_labels={}))


def of_priority(record: Record, priority: int) -> Change:
    sentence = f"its priority were {priority} instead of {record.workload.priority}"
    return Change("priority", f"priority={priority}", sentence, _changed(record, priority=priority))


def for_all(state: State, record: Record) -> Iterator[Change]:
    """What its team or the whole fleet would have to be given."""
    yield from _without_quota(state, record)
    yield from _larger_fleet(state, record)


def _fewer_nodes(record: Record) -> Iterator[Change]:
    w = record.workload
    if w.elastic_nodes is None:
        for nodes in _halvings(w.nodes):
            sentence = f"it asked for {nodes} nodes instead of {w.nodes}"
            yield Change("nodes", f"resources.nodes={nodes}", sentence, _changed(record, nodes=nodes))
        return
    fewest, most = w.elastic_nodes
    for nodes in _halvings(fewest):
        sentence = f"it could do with {nodes} nodes instead of {fewest}"
        fewer = _changed(record, elastic_nodes=(nodes, most))
        yield Change("nodes", f"elastic={nodes}..{most}", sentence, fewer)


def _fewer_accelerators(record: Record) -> Iterator[Change]:
    for accelerator in record.workload.demand.accelerators:
        for count in _halvings(int(accelerator.count)):
            fewer = AcceleratorDemand(accelerator.model, float(count))
            sentence = f"it asked for {count} {fewer.model} per node instead of {accelerator.count:g}"
            yield _with_accelerator(record, fewer, sentence)


def _other_accelerators(table: NodeTable, record: Record) -> Iterator[Change]:
    asked = record.workload.demand.accelerators
    named = {accelerator.model for accelerator in asked}
    for model in table.models if asked else ():
        if model not in named:
            other = AcceleratorDemand(model, asked[0].count)
            yield _with_accelerator(record, other, f"it took {model} instead of {asked[0].model}")


def _with_accelerator(record: Record, accelerator: AcceleratorDemand, sentence: str) -> Change:
    demand = msgspec.structs.replace(record.workload.demand, accelerators=(accelerator,))
    spelled = f"resources.accelerators={accelerator.model}:{accelerator.count:g}"
    return Change(accelerator.model, spelled, sentence, _changed(record, demand=demand))


def _less_of_the_rest(table: NodeTable, record: Record) -> Iterator[Change]:
    """As much of each plain resource as there is on nodes that have room for all else."""
    for resource in RESOURCES:
        asked = getattr(record.workload.demand, resource)
        room = _room_for_all_but(table, record, resource) if asked else 0.0
        field, units = _SPELLED[resource]
        unit, size = next(((u, s) for u, s in units if room >= s), ("", 0.0))
        if size and room < asked:
            whole = int(room // size)
            less = _changed(record, demand=_less(record.workload.demand, resource, whole * size))
            sentence = f"it asked for {whole}{unit} of {field} per node"
            yield Change(resource, f"resources.{field}={whole}{unit}", sentence, less)


def _room_for_all_but(table: NodeTable, record: Record, resource: str) -> float:
    """The most of the resource that as many nodes as it needs have free beside all else that it asks for."""
    w = record.workload
    nodes = w.elastic_nodes[0] if w.elastic_nodes else w.nodes
    most = 0.0
    for accelerator in w.demand.accelerators or (None,):
        ask = table.ask(_less(w.demand, resource, 0), accelerator, w.node_labels)
        free = np.sort(table.free[table.fitting(ask), RESOURCES.index(resource)])
        if len(free) >= nodes:
            most = max(most, float(free[-nodes]))
    return most


def _less(demand: Demand, resource: str, amount: float) -> Demand:
    exact = int(amount) if resource in ("memory_bytes", "disk_bytes") else amount
    return msgspec.structs.replace(demand, **{resource: exact})


def _without_quota(state: State, record: Record) -> Iterator[Change]:
    team = state.fleet.team(record.workload.team)
    if team.quota:
        others = tuple(t for t in state.fleet.teams if t.name != team.name)
        fleet = msgspec.structs.replace(state.fleet, teams=others)
        yield Change("quota", "", f"the quota of team {team.name} were lifted", record, fleet)


def _larger_fleet(state: State, record: Record) -> Iterator[Change]:
    """As many more nodes as are missing, then as the whole gang needs, of each kind that could hold it."""
    w, table = record.workload, state.table
    needed = w.elastic_nodes[0] if w.elastic_nodes else w.nodes
    asks = [table.ask(w.demand, a, w.node_labels) for a in w.demand.accelerators or (None,)]
    able = np.logical_or.reduce([table.able(ask) for ask in asks])
    missing = needed - max(int(table.fitting(ask).sum()) for ask in asks)
    kinds: dict[tuple[object, ...], Node] = {}
    for node in (table.nodes[int(i)] for i in np.flatnonzero(able)):
        kind = (node.accelerators, node.cpus, node.memory_bytes, node.disk_bytes, node.network_bps)
        kinds.setdefault(kind, node)
    for like in list(kinds.values())[:NODE_KINDS_MAX]:
        for count in sorted({max(1, missing), needed}):
            more = tuple(msgspec.structs.replace(like, name=f"one more {i}") for i in range(count))
            fleet = msgspec.structs.replace(state.fleet, nodes=state.fleet.nodes + more)
            sentence = f"the fleet had {count} more node{'s' * (count > 1)} like {like.name}"
            yield Change(f"like {like.name}", "", sentence, record, fleet)


def _changed(record: Record, **fields: object) -> Record:
    workload = msgspec.structs.replace(record.workload, **fields)
    return msgspec.structs.replace(record, workload=workload, status=Status.WAITING)


def _has_succeeded(state: State, name: str) -> bool:
    group = state.by_name.get(name, {})
    return bool(group) and all(r.status is Status.SUCCEEDED for r in group.values())


def _halvings(count: int) -> list[int]:
    """Smaller sizes to try, the largest first: count-1, then halves."""
    sizes = {count - 1} | {count >> k for k in range(1, count.bit_length())}
    return sorted((size for size in sizes if 0 < size < count), reverse=True)
