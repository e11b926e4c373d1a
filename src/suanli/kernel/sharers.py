"""Who shares accelerators over time, as the arrays that an allocation works on."""

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from suanli.domain.record import Record
from suanli.domain.workload import Workload
from suanli.kernel.state import State
from suanli.perf.durations import mean_speed
from suanli.policies.sharing.values import Sharing
from suanli.policies.table import Floats, Indices, NodeTable

ROUNDING = 1e-9

PRIORITY_UNIT = 50.0
"""Of that priority, which is the default, the weight is 1; of twice that it is 2."""


class Sharers(msgspec.Struct, frozen=True, eq=False):
    """`records` in order of submission, the rows of `sharing`; its columns are `models`."""

    records: tuple[Record, ...]
    models: tuple[str, ...]
    sharing: Sharing

    def by_key(self, kinds: Indices) -> dict[str, str]:
        """The models of those of whom `kinds`, int[n], is not -1."""
        return {r.key: self.models[j] for r, j in zip(self.records, kinds.tolist(), strict=True) if j >= 0}


def shares(workload: Workload) -> bool:
    """Whether it can take turns: preemptible without loss, of fixed size, whole accelerators, as many on each model."""
    asked = workload.demand.accelerators
    if not asked or not workload.preemptible or not workload.saves or workload.elastic_nodes:
        return False
    return asked[0].count >= 1 and all(other.count == asked[0].count for other in asked)


def sharers(state: State, waiting: Iterable[Record], stopping: Mapping[str, Record], now_s: float) -> Sharers:
    """Of `waiting` and of what runs, all who can take turns; what is stopping has left. O(n m + live)."""
    live = [record for record in state.live.values() if record.key not in stopping]
    running = [record for record in live if shares(record.workload)]
    others = [record for record in live if not shares(record.workload)]
    records = tuple(sorted([*waiting, *running], key=lambda record: record.seq))
    models = state.table.models
    return Sharers(records, models, _sharing(state, records, models, _left(state.table, others), now_s))


def _left(table: NodeTable, others: Iterable[Record]) -> Floats:
    """float[m]: usable devices of each model that nobody holds who keeps them."""
    at = {model: j for j, model in enumerate(table.models)}
    left = table.devices[table.usable].sum(axis=0).astype(np.float64)
    for record in others:
        for placement in record.attempt.placements if record.attempt else ():
            i, share = table.index.get(placement.node), placement.share
            if share.accelerator and i is not None and table.usable[i]:
                left[at[share.accelerator]] -= np.ceil(share.accelerator_count)
    return np.maximum(left, 0.0)


def _sharing(
    state: State, records: tuple[Record, ...], models: tuple[str, ...], capacity: Floats, now_s: float
) -> Sharing:
    at = {model: j for j, model in enumerate(models)}
    teams = {name: e for e, name in enumerate(dict.fromkeys(r.workload.team for r in records))}
    speed = np.zeros((len(records), len(models)))
    for i, record in enumerate(records):
        for accelerator in record.workload.demand.accelerators:
            j = at.get(accelerator.model)
            if j is not None:
                speed[i, j] = record.workload.speed_on(accelerator.model)
    done = _floats(record.done_by(now_s) for record in records)
    work = _floats(_work(state, record) for record in records)
    deadlines_s = _floats(
        np.inf if r.workload.deadline_s is None else r.workload.deadline_s - now_s for r in records
    )
    return Sharing(
        speed=speed,
        devices=_floats(r.workload.nodes * r.workload.demand.accelerators[0].count for r in records),
        weight=_floats(max(r.workload.priority, 1) / PRIORITY_UNIT for r in records),
        entity=np.array([teams[r.workload.team] for r in records], dtype=np.intp),
        entity_weight=_floats(state.fleet.team(name).weight for name in teams),
        remaining=_left_of(work, done),
        elapsed_s=_floats(now_s - record.submitted_s for record in records),
        fair_s=np.zeros(len(records)),
        done=done,
        current=np.array([at.get(model_of(r), -1) for r in records], dtype=np.intp),
        seq=np.array([r.seq for r in records], dtype=np.int64),
        deadline_left_s=deadlines_s,
        capacity=capacity,
        price=_prices(state.table),
    )


def model_of(record: Record) -> str:
    """The accelerator on which its attempt is; empty without one."""
    return record.attempt.placements[0].share.accelerator if record.attempt else ""


def _left_of(work: Floats, done: Floats) -> Floats:
    """float[n]: what is left, NaN where nobody knows, or no longer: it has outlived what was expected of it."""
    return np.where(done <= work * (1.0 + ROUNDING), np.maximum(work - done, 0.0), np.nan)


def _work(state: State, record: Record) -> float:
    """All that there is to do, in its own units: declared, or by its seconds at its mean speed; NaN: nobody knows."""
    if record.workload.work is not None:
        return record.workload.work
    duration_s = state.durations.estimate_s(record)
    return np.nan if duration_s is None else duration_s * mean_speed(record.workload)


def _prices(table: NodeTable) -> Floats:
    """float[m]: the mean price of a device-hour, by the nodes that have them."""
    count = np.maximum(table.devices.sum(axis=1), 1)
    per_device = np.array([node.price_per_hour for node in table.nodes]) / count
    total = table.devices.sum(axis=0)
    return np.asarray((per_device @ table.devices) / np.maximum(total, 1), dtype=np.float64)


def _floats(values: Iterable[float]) -> Floats:
    return np.fromiter(values, dtype=np.float64)
