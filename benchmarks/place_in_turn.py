"""Requests that come to a fleet one after another and stay, placed in one loop over the shipped `rating.choose`.

For whoever asks many times what weights are worth, as a fit does: through `kernel.step`, whose choices these are (a
test compares them), it would take several times as long.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.fleet import Node
from suanli.domain.resources import Demand
from suanli.policies.compiled import COMPILED_FROM, loop
from suanli.policies.mix import Mix, mix_of
from suanli.policies.place import measures, rating, ratings
from suanli.policies.place.measures import Expected
from suanli.policies.table import NodeTable
from suanli.sim.trace import Trace
from suanli.traces.arrivals import accelerators_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Loop = Callable[..., Any]


class Pods(msgspec.Struct, frozen=True, eq=False):
    """A trace: S distinct `demands`, the `shape` of each pod, int[n], devices that a pod of each asks for, float[S]."""

    name: str
    demands: tuple[Demand, ...]
    shape: Ints
    asked: Floats
    mix: Mix


def pods_of(trace: Trace) -> Pods:
    """O(n)."""
    index: dict[Demand, int] = {}
    shape = [index.setdefault(a.workload.demand, len(index)) for a in trace.arrivals]
    asked = np.zeros(len(index))
    for i, arrival in zip(shape, trace.arrivals, strict=True):
        asked[i] = accelerators_of(arrival.workload)
    mix = mix_of((arrival.workload.demand, 1.0) for arrival in trace.arrivals)
    return Pods(trace.name, tuple(index), np.array(shape, dtype=np.int64), asked, mix)


class Instance(NamedTuple):
    """A fleet and the pods that come to it, as `rating.choose` wants them. A tuple, which can be compiled.

    int[n] `shapes` of the pods; of each shape float[S, 4] `amounts`, float[S] `counts` of devices, int[S, A] `models`
    (-2 where it has fewer alternatives) and int[S, C, A] `able`. The rest is that of the nodes and of their classes.
    """

    shapes: Ints
    amounts: Floats
    counts: Floats
    models: Ints
    able: Ints
    capacity: Floats
    classes: NDArray[np.int32]
    class_cores: Floats
    class_models: NDArray[np.int16]
    largest: tuple[float, float]
    mix: Expected
    cores_per_device: float
    scarcity: Floats


def instance_of(nodes: Sequence[Node], pods: Pods, shapes: Ints) -> Instance:
    """These pods, by shape, coming to these nodes in that order."""
    table = NodeTable(nodes)
    expected, cores_per_device, scarcity = ratings.expected(table, pods.mix)
    asks = [[table.ask(d, a, {}) for a in d.accelerators or (None,)] for d in pods.demands]
    models = np.full((len(asks), max(map(len, asks))), -2, dtype=np.int64)
    for row, alternatives in zip(models, asks, strict=True):
        row[: len(alternatives)] = [ask.model for ask in alternatives]
    return Instance(
        shapes=shapes,
        amounts=np.array([first.amounts for first, *_ in asks]),
        counts=np.array([first.count for first, *_ in asks]),
        models=models,
        able=np.stack([ratings.able(table, tuple(row)) for row in models.tolist()]),
        capacity=np.ascontiguousarray(table.capacity),
        classes=table.classes,
        class_cores=table.class_cores,
        class_models=table.class_models,
        largest=table.largest,
        mix=expected,
        cores_per_device=cores_per_device,
        scarcity=scarcity,
    )


def place_in_turn(choose: Loop, occupy: Loop, at: Instance, weights: Floats) -> Ints:
    """The node of each pod, int[n], -1 where none has room: what `kernel.step` does with one after another.

    `choose` and `occupy` are those of `rating` and `measures`, compiled or not, as this is.
    """
    nodes, shapes, alternatives = len(at.classes), len(at.counts), at.models.shape[1]
    free = at.capacity.copy()
    device_free = (at.class_models[at.classes] >= 0).astype(np.float64)
    held = np.zeros((nodes, device_free.shape[1] + 1), dtype=np.int32)
    handicap, seen = np.zeros(nodes), np.zeros(nodes, dtype=np.bool_)
    lost = np.zeros((nodes, 2))
    lost[:, 1] = -1.0
    values, choices = np.full((shapes, nodes), np.inf), np.zeros((shapes, nodes), dtype=np.int32)
    touched, logged = np.empty(nodes + len(at.shapes), dtype=np.int64), nodes
    touched[:nodes] = np.arange(nodes)
    since = np.zeros(shapes, dtype=np.int64)
    chosen = np.full(len(at.shapes), -1)
    for p in range(len(at.shapes)):
        s = at.shapes[p]
        if since[s] < 0:  # nothing leaves: what has found no room never will
            continue
        amounts = (at.amounts[s, 0], at.amounts[s, 1], at.amounts[s, 2], at.amounts[s, 3])
        i = choose(
            rating.LEFTOVERS, touched[:logged], since[s], free, device_free, held, at.classes, at.class_cores,
            at.class_models, handicap, amounts, at.models[s], np.full(alternatives, at.counts[s]), at.able[s],
            at.largest, weights, at.mix, at.cores_per_device, at.scarcity, lost, seen, values[s], choices[s],
        )  # fmt: skip
        since[s] = logged if i >= 0 else -1
        if i < 0:
            continue
        chosen[p], touched[logged] = i, i
        logged += 1
        a, device = divmod(choices[s, i], rating.DEVICES)
        free[i] -= at.amounts[s]
        if device > 0:
            device_free[i, device - 1] -= at.counts[s]
        else:
            occupy(device_free[i], at.class_models[at.classes[i]], at.models[s, a], at.counts[s])
    return chosen


@functools.cache
def compiled() -> Callable[[Instance, Floats], Ints]:
    """`place_in_turn`, compiled with what it calls."""
    from numba import njit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    inner = loop(rating, "choose", COMPILED_FROM), loop(measures, "occupy", COMPILED_FROM)
    return functools.partial(njit(place_in_turn), *inner)
