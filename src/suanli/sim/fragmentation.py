"""Fragmentation of a simulated fleet: what is idle and of no use to what is asked for.

Source: Weng et al., "Beware of fragmentation", USENIX ATC'23, section 3, and its published analysis of allocation and
fragmentation over the demand that has arrived.
"""

import functools
import heapq
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.policies.mix import Mix, mix_of
from suanli.sim.outcome import Outcome, Stay

Floats = NDArray[np.float64]

EPSILON = 1e-6
"""What shares that were added up may lack of what is asked for."""


class Fragmentation(msgspec.Struct, frozen=True, kw_only=True):
    """Idle accelerators that a workload drawn from the typical ones could not use, in expectation.

    `mean` is their share of all accelerators and `mean_of_idle` of the idle ones, over time. At each whole percent of
    the fleet's accelerators that arrived workloads ask for in `demand_pct` (mean over the arrivals that round to it),
    in percent of all accelerators: `allocation_pct` are held, `fragmentation_pct` are fragmented.
    """

    mean: float
    mean_of_idle: float
    demand_pct: tuple[int, ...]
    allocation_pct: tuple[float, ...]
    fragmentation_pct: tuple[float, ...]


def fragmentation_of(outcome: Outcome, until_s: float, mix: Mix | None = None) -> Fragmentation | None:
    """None of a fleet without accelerators. `mix` are the typical workloads, by default those of the trace.

    O(placements · (T · D + log stays)) for T typical shapes on nodes of D devices.
    """
    total = sum(len(node.accelerators) for node in outcome.fleet.nodes)
    if not total:
        return None
    expected = mix or mix_of((record.workload.demand, 1.0) for record in outcome.records)
    ground = _Ground(outcome, expected)
    changes = _changes(outcome.stays)
    curve = np.zeros((len(outcome.records), 3))
    asked = 0.0
    change = next(changes, None)
    for k, record in enumerate(outcome.records):
        while change and change[0] <= record.submitted_s:
            ground.move(*change)
            change = next(changes, None)
        accelerators = record.workload.demand.accelerators
        asked += accelerators[0].count * record.workload.nodes if accelerators else 0.0
        curve[k] = asked, ground.held, ground.lost
    while change and change[0] < until_s:
        ground.move(*change)
        change = next(changes, None)
    ground.wait(until_s)
    percent, allocation, fragmentation = _by_percent(100.0 * curve / total)
    span_s = until_s - outcome.from_s
    return Fragmentation(
        mean=ground.lost_s / (total * span_s) if span_s > 0 else 0.0,
        mean_of_idle=ground.lost_s / ground.idle_s if ground.idle_s > 0 else 0.0,
        demand_pct=percent,
        allocation_pct=allocation,
        fragmentation_pct=fragmentation,
    )


class _Ground:
    """The fleet as it stands: devices held and lost to fragmentation, and the device time idle and lost so far."""

    def __init__(self, outcome: Outcome, mix: Mix) -> None:
        nodes = outcome.fleet.nodes
        self.held = 0.0
        self.lost_s = self.idle_s = 0.0
        self._at_s = outcome.from_s
        self._total = sum(len(node.accelerators) for node in nodes)
        self._cpus = {node.name: node.cpus for node in nodes}
        self._left = {node.name: [1.0] * len(node.accelerators) for node in nodes}
        self._models = {node.name: node.accelerators for node in nodes}
        self._useless = functools.cache(functools.partial(useless, mix))
        self._lost_on = {node.name: self._lost(node.name) for node in nodes}
        self.lost = sum(self._lost_on.values())

    def move(self, at_s: float, sign: int, stay: Stay) -> None:
        """A stay begins (1) or ends (-1)."""
        self.wait(at_s)
        for placement in stay.placements:
            name, share = placement.node, placement.share
            self._cpus[name] -= sign * share.cpus
            for device in share.devices:
                self._left[name][device] -= sign * share.device_share
            self.held += sign * share.accelerator_count
            now = self._lost(name)
            self.lost += now - self._lost_on[name]
            self._lost_on[name] = now

    def wait(self, until_s: float) -> None:
        """Time passes."""
        self.lost_s += self.lost * (until_s - self._at_s)
        self.idle_s += (self._total - self.held) * (until_s - self._at_s)
        self._at_s = until_s

    def _lost(self, name: str) -> float:
        left = tuple([round(device, 6) for device in self._left[name]])
        return self._useless(round(self._cpus[name], 6), left, self._models[name])


def useless(mix: Mix, cpus: float, left: tuple[float, ...], models: tuple[str, ...]) -> float:
    """Devices idle on a node, `left` of each, that a workload drawn from the mix cannot use. O(T · D).

    All that is idle where it cannot run here at all (or uses no device), else what is idle on devices with too little.
    """
    idle = sum(left)
    if not idle:
        return 0.0
    lost = 0.0
    for shape in mix.typical:
        small, enough = 0.0, 0
        for device, model in zip(left, models, strict=True):
            if device >= shape.share - EPSILON and (not shape.models or model in shape.models):
                enough += 1
            else:
                small += device
        runs = shape.count and enough >= shape.count and cpus >= shape.cpus - EPSILON
        lost += shape.weight * (small if runs else idle)
    return lost


def _changes(stays: tuple[Stay, ...]) -> Iterator[tuple[float, int, Stay]]:
    """Beginnings and ends in order of time; at one instant ends come first, but never before their own beginning.

    A stay without a cause has not ended.
    """
    waiting: list[tuple[float, int, Stay]] = []
    for number, stay in enumerate(sorted(stays, key=lambda stay: stay.placed_s)):
        while waiting and waiting[0][0] <= stay.placed_s:
            ended_s, _, ended = heapq.heappop(waiting)
            yield ended_s, -1, ended
        yield stay.placed_s, 1, stay
        if stay.cause:
            heapq.heappush(waiting, (stay.ended_s, number, stay))
    while waiting:
        ended_s, _, ended = heapq.heappop(waiting)
        yield ended_s, -1, ended


def _by_percent(curve: Floats) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Means of columns 1 and 2 over the rows whose column 0 rounds to the same."""
    percent, which = np.unique(np.round(curve[:, 0]).astype(int), return_inverse=True)
    counts = np.bincount(which, minlength=len(percent))
    means = [np.bincount(which, curve[:, c], minlength=len(percent)) / counts for c in (1, 2)]
    return tuple(percent.tolist()), tuple(means[0].tolist()), tuple(means[1].tolist())
