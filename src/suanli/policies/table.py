"""`NodeTable`: what every node has and has free, as arrays. The ground that placement works on.

Shapes: N nodes, R = 4 plain resources (`RESOURCES`), D devices on the largest node, M accelerator models.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.fleet import Node
from suanli.domain.record import Placement
from suanli.domain.resources import AcceleratorDemand, Demand, Share

RESOURCES = ("cpus", "memory_bytes", "disk_bytes", "network_bps")
TOLERANCE = 1e-6

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]


class Ask(msgspec.Struct, frozen=True, eq=False):
    """One alternative of a demand, as the table understands it. `model` is -1 for none and -2 for one nobody has.

    `labels` must all be on the node. `count` is the number of devices, below 1 the share of a single one.
    """

    vector: Floats
    model: int
    count: float
    accelerator: str
    labels: tuple[tuple[str, str], ...]


class NodeTable:
    """Mutable inside; `copy` is O(N·(R+D+M)), `take` and `give` O(D) for each placement."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)
        self.names = tuple(node.name for node in nodes)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.models = tuple(sorted({model for node in nodes for model in node.accelerators}))
        self._model_index = {model: i for i, model in enumerate(self.models)}
        self.capacity = np.array(
            [[n.cpus, n.memory_bytes, n.disk_bytes, n.network_bps] for n in nodes], dtype=np.float64
        ).reshape(len(nodes), len(RESOURCES))
        self.free = self.capacity.copy()
        widest = max((len(node.accelerators) for node in nodes), default=0)
        self.device_model = np.full((len(nodes), widest), -1, dtype=np.int16)
        self.device_free = np.zeros((len(nodes), widest))
        for i, node in enumerate(nodes):
            for d, model in enumerate(node.accelerators):
                self.device_model[i, d] = self._model_index[model]
                self.device_free[i, d] = 1.0
        self.whole_free = np.zeros((len(nodes), len(self.models)), dtype=np.int32)
        self.largest_share = np.zeros((len(nodes), len(self.models)))
        self._recount(range(len(nodes)))
        self.devices = self.whole_free.copy()
        kinds = np.concatenate([self.capacity, self.devices], axis=1)
        _, self._class_rows, self._class_of = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
        self.usable = np.ones(len(nodes), dtype=np.bool_)
        self._most: tuple[Floats, Floats, Floats] | None = None
        self._sizes: tuple[NDArray[np.int64], NDArray[np.int64], Bools] | None = None

    def copy(self) -> "NodeTable":
        """The same nodes with free quantities of its own."""
        twin = object.__new__(NodeTable)
        twin.__dict__.update(self.__dict__)
        for name in ("free", "device_free", "whole_free", "largest_share", "usable"):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def ask(self, demand: Demand, accelerator: AcceleratorDemand | None, labels: dict[str, str]) -> Ask:
        vector = np.array([demand.cpus, demand.memory_bytes, demand.disk_bytes, demand.network_bps])
        pairs = tuple(sorted(labels.items()))
        if accelerator is None:
            return Ask(vector, -1, 0.0, "", pairs)
        model = self._model_index.get(accelerator.model, -2)
        return Ask(vector, model, accelerator.count, accelerator.model, pairs)

    def may_fit(self, ask: Ask) -> bool:
        """False where no node can have room, by the largest free quantity of each kind. O(R), after O(N·R) once."""
        if self._most is None:
            plain = self.free.max(axis=0, initial=0.0)
            whole = self.whole_free.max(axis=0, initial=0).astype(np.float64)
            self._most = (plain, whole, self.largest_share.max(axis=0, initial=0.0))
        plain, whole, largest = self._most
        if ask.model == -2 or (plain < ask.vector - TOLERANCE).any():
            return False
        if ask.model < 0:
            return True
        return bool((largest if ask.count < 1 else whole)[ask.model] >= ask.count - TOLERANCE)

    def fitting(self, ask: Ask) -> Bools:
        """Nodes, bool[N], that are usable and have room for `ask` now."""
        return self.usable & self._has_room(ask, self.free, self.whole_free, self.largest_share)

    def count_able(self, ask: Ask) -> tuple[int, int]:
        """How many nodes are `able`, and how many of these are usable. O(N) sums over classes of like nodes."""
        if ask.labels or ask.model == -2:
            able = self.able(ask)
            return int(able.sum()), int((able & self.usable).sum())
        rows = self._class_rows
        devices = self.devices[rows]
        fits = self._has_room(ask, self.capacity[rows], devices, (devices > 0).astype(np.float64))
        everywhere, usable = self._class_sizes()
        return int(everywhere[fits].sum()), int(usable[fits].sum())

    def _class_sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        classes = len(self._class_rows)
        if self._sizes is None or self._sizes[2] is not self.usable:
            flat = self._class_of.reshape(-1)
            usable = np.bincount(flat[self.usable], minlength=classes)
            self._sizes = (np.bincount(flat, minlength=classes), usable, self.usable)
        return self._sizes[0], self._sizes[1]

    def able(self, ask: Ask) -> Bools:
        """Nodes, bool[N], that had room for `ask` if they were empty and healthy."""
        return self._has_room(ask, self.capacity, self.devices, (self.devices > 0).astype(np.float64))

    def _has_room(self, ask: Ask, free: Floats, whole: NDArray[np.int32], largest: Floats) -> Bools:
        room: Bools = np.all(free >= ask.vector - TOLERANCE, axis=1)
        if ask.model == -2:
            return np.zeros_like(room)
        if ask.model >= 0:
            has = largest[:, ask.model] >= ask.count - TOLERANCE
            room &= has if ask.count < 1 else whole[:, ask.model] >= ask.count
        return room & self.labelled(ask.labels) if ask.labels else room

    def labelled(self, labels: tuple[tuple[str, str], ...]) -> Bools:
        """Nodes, bool[N], that carry all of these labels (`zone`, `rack`, `site` and `name` count as labels)."""
        return np.array([all(label_of(node, key) == value for key, value in labels) for node in self.nodes])

    def placement(self, i: int, ask: Ask) -> Placement:
        """Room for `ask` on node `i`, with devices named: whole ones in index order, a share best-fit."""
        devices: tuple[int, ...] = ()
        share = 1.0
        if ask.model >= 0:
            mine = self.device_model[i] == ask.model
            if ask.count < 1:
                share = ask.count
                room = np.where(
                    mine & (self.device_free[i] >= share - TOLERANCE), self.device_free[i], np.inf
                )
                devices = (int(np.argmin(room)),)
            else:
                whole = np.flatnonzero(mine & (self.device_free[i] >= 1.0 - TOLERANCE))
                devices = tuple(int(d) for d in whole[: int(ask.count)])
        cpus, memory, disk, network = (float(x) for x in ask.vector)
        return Placement(
            self.names[i],
            Share(
                cpus=cpus,
                memory_bytes=int(memory),
                disk_bytes=int(disk),
                network_bps=network,
                accelerator=ask.accelerator,
                devices=devices,
                device_share=share,
            ),
        )

    def can_take(self, placements: Iterable[Placement]) -> bool:
        """Whether exactly these placements, devices and all, are free now on usable nodes."""
        for placement in placements:
            i = self.index.get(placement.node)
            if i is None or not self.usable[i]:
                return False
            share = placement.share
            if (self.free[i] < share_vector(share) - TOLERANCE).any():
                return False
            devices = list(share.devices)
            if devices and (max(devices) >= self.device_free.shape[1]):
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
            self._most = None
            self.free[i] += sign * share_vector(placement.share)
            devices = [d for d in placement.share.devices if d < self.device_free.shape[1]]
            if devices:
                self.device_free[i, devices] += sign * placement.share.device_share
                self._recount((i,))

    def _recount(self, rows: Iterable[int]) -> None:
        for i in rows:
            for m in range(len(self.models)):
                free = self.device_free[i, self.device_model[i] == m]
                self.whole_free[i, m] = int((free >= 1.0 - TOLERANCE).sum())
                self.largest_share[i, m] = float(free.max(initial=0.0))


def share_vector(share: Share) -> Floats:
    """float[R], in the order of RESOURCES."""
    return np.array([share.cpus, share.memory_bytes, share.disk_bytes, share.network_bps])


def label_of(node: Node, key: str) -> str | None:
    """A node's label; its name and where it stands count as labels too."""
    if key in ("name", "zone", "rack", "site"):
        return str(getattr(node, key))
    return node.labels.get(key)
