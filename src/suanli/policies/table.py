"""`NodeTable`: what every node has and has free, as arrays. The ground that placement works on.

Shapes: N nodes, R = 4 plain resources (`RESOURCES`), D devices on the largest node, M accelerator models, C classes
of nodes with the same capacity and devices.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.fleet import Node
from suanli.domain.record import Placement
from suanli.domain.resources import AcceleratorDemand, Demand, Share
from suanli.policies import counting
from suanli.policies.compiled import loop

RESOURCES = ("cpus", "memory_bytes", "disk_bytes", "network_bps")
TOLERANCE = 1e-6

LOG_PER_NODE = 16
LOG_MIN = 4096
"""Room for nodes touched: the log, and all that hangs on it, begins anew when it is full."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]
Amounts = tuple[float, float, float, float]
"""Of plain resources, in the order of RESOURCES."""


class Ask(msgspec.Struct, frozen=True, eq=False):
    """One alternative of a demand, as the table understands it. `model` is -1 for none and -2 for one nobody has.

    `labels` must all be on the node. `count` is the number of devices, below 1 the share of a single one. What is not
    asked for (0) fits everywhere, on an overfull node too.
    """

    amounts: Amounts
    model: int
    count: float
    accelerator: str
    labels: tuple[tuple[str, str], ...]


class NodeTable:
    """Mutable inside; `copy` is O(N·(R+D+M)), `take` and `give` O(D) for each placement.

    float[N, R] `capacity` and `free`; int[N, D] `device_model`, float[N, D] `device_free`; int[N, M] `devices` (all)
    and `whole_free`, float[N, M] `largest_share`; float[N] `device_left`, the sum of `device_free`; int[N, D+1] `held`,
    how many placements have k whole devices, in column 0 a share of one; int[M, D+1] `having`, how many nodes have at
    least k of a model wholly free. `touched` are nodes in the order in which
    they changed, after all nodes once: who has read so far needs to look at no others again. `largest` are the most
    cores and devices of a node, 1 where there are none. `usable` is replaced, never written to. `memo` is for what is
    worked out about the table as it is, a copy starts without; `lasting` about its nodes, whatever is free.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)
        self.names = tuple(node.name for node in nodes)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.models = tuple(sorted({model for node in nodes for model in node.accelerators}))
        self._model_index = {model: i for i, model in enumerate(self.models)}
        plain = [[n.cpus, float(n.memory_bytes), float(n.disk_bytes), n.network_bps] for n in nodes]
        # by column, since a fit test looks at one resource of all nodes at a time
        self.capacity: Floats = np.array(plain, dtype=np.float64, order="F").reshape(
            len(nodes), len(RESOURCES), order="F"
        )
        self.free = self.capacity.copy(order="K")
        self.inverse_capacity = np.divide(
            1.0, self.capacity, out=np.zeros_like(self.capacity), where=self.capacity > 0
        )
        self.device_count = np.array([len(node.accelerators) for node in nodes], dtype=np.intp)
        widest = int(self.device_count.max(initial=0))
        self.device_model = np.full((len(nodes), widest), -1, dtype=np.int16)
        for i, node in enumerate(nodes):
            self.device_model[i, : len(node.accelerators)] = [self._model_index[m] for m in node.accelerators]
        self.usable = np.ones(len(nodes), dtype=np.bool_)
        self._models_on = [
            row[: int(n)].tolist() for row, n in zip(self.device_model, self.device_count, strict=True)
        ]
        self.held = np.zeros((len(nodes), widest + 1), dtype=np.int32)
        self.set_devices((self.device_model >= 0).astype(np.float64))
        self.devices = self.whole_free.copy(order="K")
        self.kinds = [r for r in range(len(RESOURCES)) if self.capacity[:, r].any()]
        self.kind_count = (self.capacity > 0).sum(axis=1)
        like = np.concatenate([self.capacity, self.devices, self.device_model], axis=1)
        rows, self.classes = _classes(like)
        self.class_cores: Floats = np.ascontiguousarray(self.capacity[rows, 0])
        self.class_models = self.device_model[rows]
        self._class_capacity = np.asfortranarray(self.capacity[rows])
        self._class_devices = np.asfortranarray(self.devices[rows])
        self._class_largest = (self._class_devices > 0).astype(np.float64)
        self._labels: dict[str, tuple[dict[str | None, int], Indices]] = {}
        self.largest = float(self.capacity[:, 0].max(initial=0.0)) or 1.0, float(widest) or 1.0
        self.lasting: dict[Any, Any] = {}

    def copy(self) -> "NodeTable":
        """The same nodes with free quantities of its own."""
        twin = object.__new__(NodeTable)
        twin.__dict__.update(self.__dict__)
        for name in ("free", "device_free", "device_left", "whole_free", "largest_share", "held", "having"):
            setattr(twin, name, getattr(self, name).copy(order="K"))
        twin._begin()
        return twin

    @property
    def touched(self) -> NDArray[np.int64]:
        return self._log[: self._logged]

    def _touch(self, i: int) -> None:
        if self._logged == len(self._log):
            self._forget()
        self._log[self._logged] = i
        self._logged += 1

    def _begin(self) -> None:
        widest = self.device_model.shape[1]
        self._count = loop(counting, "move", len(self.nodes) if widest <= counting.DEVICES_MAX else 0)
        self._counts = (
            self.free,
            self.device_free,
            self.device_model,
            self.device_left,
            self.whole_free,
            self.largest_share,
            self.held,
            self.having,
        )
        self._forget()

    def _forget(self) -> None:
        """What was worked out is gone, so that nobody needs the old part of the log."""
        self.memo: dict[Any, Any] = {}
        nodes = len(self.nodes)
        self._log = np.empty(nodes * LOG_PER_NODE + LOG_MIN, dtype=np.int64)
        self._log[:nodes] = np.arange(nodes)
        self._logged = nodes

    def set_devices(self, device_free: Floats) -> None:
        """Replace what is free of every device, float[N, D], and count again."""
        self.device_free = device_free
        self.device_left = device_free.sum(axis=1)
        shape = (len(self.nodes), len(self.models))
        self.whole_free = np.zeros(shape, dtype=np.int32, order="F")
        self.largest_share = np.zeros(shape, order="F")
        self.having = np.zeros((len(self.models), device_free.shape[1] + 1), dtype=np.int32)
        for m in range(len(self.models)):
            mine = np.where(self.device_model == m, device_free, 0.0)
            self.whole_free[:, m] = whole = (mine >= 1.0 - TOLERANCE).sum(axis=1)
            numbers = np.bincount(whole, minlength=self.having.shape[1])
            self.having[m] = numbers[::-1].cumsum()[::-1]
            self.largest_share[:, m] = mine.max(axis=1, initial=0.0)
        self._begin()

    def ask(self, demand: Demand, accelerator: AcceleratorDemand | None, labels: dict[str, str]) -> Ask:
        amounts = amounts_of(demand)
        pairs = tuple(sorted(labels.items()))
        if accelerator is None:
            return Ask(amounts, -1, 0.0, "", pairs)
        model = self._model_index.get(accelerator.model, -2)
        return Ask(amounts, model, accelerator.count, accelerator.model, pairs)

    def have_devices(self, ask: Ask, nodes: int) -> bool:
        """False where fewer nodes than that have so many whole devices free. O(1)."""
        if ask.model < 0:
            return ask.model == -1
        most = self.having.shape[1] - 1
        return ask.count < 1 or (ask.count <= most and int(self.having[ask.model, int(ask.count)]) >= nodes)

    def may_fit(self, ask: Ask, nodes: int = 1) -> bool:
        """False where no node can have room, by the largest free quantity of each kind that is asked for. O(N·R).

        Or where fewer than `nodes` have the devices: of those it is known at once.
        """
        if not self.have_devices(ask, nodes):
            return False
        if 0 < ask.count < 1 and float(self.largest_share[:, ask.model].max()) < ask.count - TOLERANCE:
            return False
        return all(
            asked <= 0 or float(self.free[:, r].max(initial=0.0)) >= asked - TOLERANCE
            for r, asked in enumerate(ask.amounts)
        )

    def fitting(self, ask: Ask) -> Bools:
        """Nodes, bool[N], that are usable and have room for `ask` now. O(N·R)."""
        room = self._has_room(ask, self.free, self.whole_free, self.largest_share)
        room &= self.usable
        return room & self.labelled(ask.labels) if ask.labels else room

    def has_plain(self, amounts: Amounts) -> Bools:
        """Nodes, bool[N], with so much free beside devices. What is not asked for fits everywhere. O(N·R)."""
        room = np.ones(len(self.nodes), dtype=np.bool_)
        for r, asked in enumerate(amounts):
            if asked > 0:
                room &= self.free[:, r] >= asked - TOLERANCE
        return room

    def able(self, ask: Ask) -> Bools:
        """Nodes, bool[N], that had room for `ask` if they were empty and healthy. O(C·R + N)."""
        able = self.able_classes(ask)[self.classes]
        return able & self.labelled(ask.labels) if ask.labels else able

    def able_classes(self, ask: Ask) -> Bools:
        """The same by class of node, bool[C], labels aside."""
        return self._has_room(ask, self._class_capacity, self._class_devices, self._class_largest)

    def class_has(self, model: int) -> Bools:
        """Classes of nodes, bool[C], with a device of that model; all where it is -1, none where nobody has it."""
        if model < 0:
            return np.full(len(self.class_cores), model == -1)
        return self._class_devices[:, model] > 0

    def _has_room(self, ask: Ask, free: Floats, whole: NDArray[np.int32], largest: Floats) -> Bools:
        if ask.model == -2:
            return np.zeros(len(free), dtype=np.bool_)
        if ask.model < 0:
            room = np.ones(len(free), dtype=np.bool_)
        elif ask.count < 1:
            room = largest[:, ask.model] >= ask.count - TOLERANCE
        else:
            room = whole[:, ask.model] >= ask.count
        for r, asked in enumerate(ask.amounts):
            if asked > 0:
                room &= free[:, r] >= asked - TOLERANCE
        return room

    def handicap(self, labels: tuple[tuple[str, str], ...]) -> Floats:
        """float[N], 0 for nodes that are usable and carry all of these labels, else inf. Nobody may write to it."""
        key = "handicap", labels
        known = self.lasting.get(key)
        if known is None or known[0] is not self.usable:
            open_to_it = self.usable & self.labelled(labels)
            known = self.lasting[key] = self.usable, np.where(open_to_it, 0.0, np.inf)
        return known[1]

    def labelled(self, labels: tuple[tuple[str, str], ...]) -> Bools:
        """Nodes, bool[N], that carry all of these labels (`zone`, `rack`, `site` and `name` count as labels)."""
        has = np.ones(len(self.nodes), dtype=np.bool_)
        for key, value in labels:
            if key not in self._labels:
                codes: dict[str | None, int] = {}
                of_node = [codes.setdefault(label_of(node, key), len(codes)) for node in self.nodes]
                self._labels[key] = codes, np.array(of_node, dtype=np.intp)
            known, of = self._labels[key]
            has &= of == known.get(value, -1)
        return has

    def placement(self, i: int, ask: Ask) -> Placement:
        """Room for `ask` on node `i`, with devices named: whole ones in index order, a share where least is left."""
        return Placement(self.names[i], share_of(ask, self.devices_for(i, ask)))

    def devices_for(self, i: int, ask: Ask) -> tuple[int, ...]:
        """Devices of node `i` that have room for `ask`. O(D)."""
        if ask.model < 0:
            return ()
        roomy = self.roomy(i, ask)
        if ask.count < 1:
            # rounded, so that what was added up in another order is still a tie
            return (min((round(left, 9), d) for d, left in roomy)[1],)
        return tuple([d for d, _ in roomy][: int(ask.count)])

    def roomy(self, i: int, ask: Ask) -> list[tuple[int, float]]:
        """The devices of node `i` with room for one of what is asked, each with what is left of it. O(D)."""
        needed = min(ask.count, 1.0) - TOLERANCE
        devices = zip(self.device_free[i].tolist(), self._models_on[i], strict=False)
        return [(d, left) for d, (left, m) in enumerate(devices) if m == ask.model and left >= needed]

    def can_take(self, placements: Iterable[Placement]) -> bool:
        """Whether exactly these placements, devices and all, are free now on usable nodes."""
        for placement in placements:
            i = self.index.get(placement.node)
            if i is None or not self.usable[i]:
                return False
            share = placement.share
            for free, asked in zip(self.free[i].tolist(), amounts_of(share), strict=True):
                if asked > 0 and free < asked - TOLERANCE:
                    return False
            devices = list(share.devices)
            if devices and max(devices) >= self.device_count[i]:
                return False
            if (self.device_free[i, devices] < share.device_share - TOLERANCE).any():
                return False
        return True

    def take(self, placements: Iterable[Placement]) -> None:
        """Hold these. Free quantities may go below zero where a reservation waits for others to leave."""
        self._move(placements, -1.0)

    def give(self, placements: Iterable[Placement]) -> None:
        """Let these go."""
        self._move(placements, 1.0)

    def _move(self, placements: Iterable[Placement], sign: float) -> None:
        for placement in placements:
            i = self.index.get(placement.node)
            if i is None:
                continue
            share = placement.share
            mask = 0
            for d in share.devices:
                mask |= 1 << d
            self._count(i, sign, amounts_of(share), mask, share.device_share, *self._counts)
            self._touch(i)


def _classes(like: NDArray[Any]) -> tuple[Indices, NDArray[np.int32]]:
    """The first row of each class of equal rows, in their order, and the class of each row. O(N log N).

    As `np.unique` along an axis, whose rows compared as records take some twenty times as long.
    """
    order = np.lexsort(like.T[::-1])
    ranked = like[order]
    begins = np.ones(len(like), dtype=np.bool_)
    begins[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    classes = np.empty(len(like), dtype=np.int32)
    classes[order] = np.cumsum(begins) - 1
    return order[begins], classes


def share_of(ask: Ask, devices: tuple[int, ...]) -> Share:
    """What `ask` holds on one node, with its devices named."""
    cpus, memory_bytes, disk_bytes, network_bps = ask.amounts
    return Share(
        cpus=cpus,
        memory_bytes=int(memory_bytes),
        disk_bytes=int(disk_bytes),
        network_bps=network_bps,
        accelerator=ask.accelerator if devices else "",
        devices=devices,
        device_share=min(ask.count, 1.0) if devices else 1.0,
    )


def amounts_of(what: Demand | Share) -> Amounts:
    """Asked for on a node, or held there; floats all, for the compiled loops."""
    return float(what.cpus), float(what.memory_bytes), float(what.disk_bytes), float(what.network_bps)


def label_of(node: Node, key: str) -> str | None:
    """A node's label; its name and where it stands count as labels too."""
    if key in ("name", "zone", "rack", "site"):
        return str(getattr(node, key))
    return node.labels.get(key)
