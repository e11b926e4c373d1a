"""The workloads of a simulation as arrays: when each came and ended, what it asked for, how long it takes alone."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Status
from suanli.domain.workload import Workload
from suanli.sim.outcome import Outcome

Floats = NDArray[np.float64]

CORES = "cpus"
"""The kind of device that work without accelerators counts in."""


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """float[n] in order of arrival, unless said; nan where there is none (of the end: it has not succeeded).

    `kinds` are the accelerator models of the fleet and CORES, float[k] `capacity` how many there are of each.
    float[n, k] `asked` are the devices of a kind that the whole gang takes, and `alone_s` how long it then runs
    undisturbed (inf where it cannot). `held_s` is the time that it held nodes, `devices` what it asks for of the first
    kind it names.
    """

    keys: tuple[str, ...]
    arrived_s: Floats
    ended_s: Floats
    deadline_s: Floats
    held_s: Floats
    lost_s: Floats
    devices: Floats
    kinds: tuple[str, ...]
    capacity: Floats
    asked: Floats
    alone_s: Floats

    @property
    def is_done(self) -> NDArray[np.bool_]:
        return np.isfinite(self.ended_s)

    @property
    def jct_s(self) -> Floats:
        return self.ended_s - self.arrived_s

    @property
    def wait_s(self) -> Floats:
        """Time in which it held nothing, before its first start and between attempts."""
        return np.maximum(0.0, self.jct_s - self.held_s)

    @property
    def fastest_s(self) -> Floats:
        return self.alone_s.min(axis=1, initial=math.inf)


def jobs_of(outcome: Outcome) -> Jobs:
    """O(records · alternatives + stays)."""
    records = outcome.records
    kinds, capacity = _kinds(outcome)
    column = {kind: k for k, kind in enumerate(kinds)}
    asked = np.zeros((len(records), len(kinds)))
    alone_s = np.full((len(records), len(kinds)), math.inf)
    devices = np.zeros(len(records))
    for i, record in enumerate(records):
        takes = _takes(record.workload)
        devices[i] = 0.0 if CORES in takes else next(iter(takes.values()))
        for kind, count in takes.items():
            speed = 1.0 if kind == CORES and not record.workload.speeds else record.workload.speed_on(kind)
            if kind in column and speed > 0:
                asked[i, column[kind]] = count
                alone_s[i, column[kind]] = outcome.work[record.key] / speed
    held_s = dict.fromkeys((record.key for record in records), 0.0)
    for stay in outcome.stays:
        held_s[stay.key] += stay.ended_s - stay.placed_s
    return Jobs(
        keys=tuple(record.key for record in records),
        arrived_s=np.array([record.submitted_s for record in records], dtype=np.float64),
        ended_s=np.array([_end_s(record.status, record.ended_s) for record in records], dtype=np.float64),
        deadline_s=np.array([_or_nan(record.workload.deadline_s) for record in records], dtype=np.float64),
        held_s=np.array(list(held_s.values()), dtype=np.float64),
        lost_s=np.array([record.lost_s for record in records], dtype=np.float64),
        devices=devices,
        kinds=kinds,
        capacity=capacity,
        asked=asked,
        alone_s=alone_s,
    )


def _kinds(outcome: Outcome) -> tuple[tuple[str, ...], Floats]:
    counts: dict[str, float] = {}
    for node in outcome.fleet.nodes:
        for model in node.accelerators:
            counts[model] = counts.get(model, 0.0) + 1.0
    counts[CORES] = sum(node.cpus for node in outcome.fleet.nodes)
    return tuple(counts), np.array(list(counts.values()), dtype=np.float64)


def _takes(workload: Workload) -> dict[str, float]:
    """Devices of the whole gang, by each kind that would do."""
    alternatives = workload.demand.accelerators
    if not alternatives:
        return {CORES: workload.demand.cpus * workload.nodes}
    return {ask.model: ask.count * workload.nodes for ask in alternatives}


def _end_s(status: Status, ended_s: float | None) -> float:
    return _or_nan(ended_s) if status is Status.SUCCEEDED else math.nan


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
