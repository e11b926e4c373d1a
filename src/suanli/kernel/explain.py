"""Why each workload waits: one dominant reason, found once per shape, with its evidence in numbers."""

import msgspec
import numpy as np

from suanli.domain.decision import Reservation
from suanli.domain.reasons import Evidence, Reason, ReasonCode, reason
from suanli.domain.record import Record, Status
from suanli.domain.workload import Kind
from suanli.kernel.asks import Shape, Wants
from suanli.kernel.state import State
from suanli.policies.table import RESOURCES, TOLERANCE, Ask, Bools, Floats, NodeTable

_PRECEDENCE = {code.token: i for i, code in enumerate(ReasonCode)}

NAMES_MAX = 5
"""Names of others given as evidence."""


class Walk(msgspec.Struct):
    """What became of each workload in this step's walk."""

    decided: dict[str, Reason] = msgspec.field(default_factory=dict[str, Reason])
    placed: dict[str, Record] = msgspec.field(default_factory=dict[str, Record])
    making_room: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])
    blocked: dict[str, tuple[Record, Wants]] = msgspec.field(default_factory=dict[str, tuple[Record, Wants]])


class Explainer:
    """Looks at the table after the walk. O(S·(N + log N)) for S blocked shapes, O(1) for each workload."""

    def __init__(
        self, state: State, table: NodeTable, reservations: dict[str, Reservation], now_s: float
    ) -> None:
        self._state = state
        self._table = table
        self._reservations = reservations
        self._now_s = now_s
        self._unreserved = table.copy()
        for reservation in reservations.values():
            self._unreserved.give(reservation.placements)
        self._by_shape: dict[Shape, Reason] = {}
        self._holders: dict[str, tuple[str, ...]] = {}
        self._free: dict[tuple[str, bool], _Free] = {}

    def explain(self, walk: Walk) -> tuple[tuple[Reason, ...], dict[str, int]]:
        """Distinct reasons, and for each waiting or starting workload the index of its own."""
        found: dict[str, Reason] = dict(walk.decided)
        for key, (record, wants) in walk.blocked.items():
            found[key] = self._blocked(record, wants, walk)
        for key, victims in walk.making_room.items():
            found[key] = self._making_room(key, victims)
        for record in self._state.live.values():
            if record.status is Status.STARTING or _is_loading(record):
                found[record.key] = _starting(record, self._now_s)
        reasons: dict[int, int] = {}
        distinct: list[Reason] = []
        waiting: dict[str, int] = {}
        for key, why in found.items():
            index = reasons.setdefault(id(why), len(distinct))
            if index == len(distinct):
                distinct.append(why)
            waiting[key] = index
        return tuple(distinct), waiting

    def _making_room(self, key: str, victims: tuple[str, ...]) -> Reason:
        nodes = tuple(p.node for p in self._reservations[key].placements) if key in self._reservations else ()
        return reason(
            ReasonCode.RESOURCES_BUSY,
            "room",
            preemption_helps=False,
            stopping=victims[:NAMES_MAX],
            reserved_on=nodes[:NAMES_MAX],
        )

    def _blocked(self, record: Record, wants: Wants, walk: Walk) -> Reason:
        why = self._by_shape.get(wants.shape)
        if why is None:
            why = self._by_shape[wants.shape] = self._for_shape(wants, walk)
        return why

    def _for_shape(self, wants: Wants, walk: Walk) -> Reason:
        """The reason of the alternative that is nearest to running: the last tier, then the last code, wins."""
        candidates = [self._for_option(ask, wants.sizes[-1], walk) for ask in wants.asks]
        return max(candidates, key=lambda why: _PRECEDENCE[why.token])

    def _for_option(self, ask: Ask, size: int, walk: Walk) -> Reason:
        if ask.model == -2:
            return self._no_such_accelerator(ask)
        able, usable = self._table.count_able(ask)
        if able < size:
            return self._never_fits(ask, size)
        if usable < size:
            return self._unhealthy(self._table.able(ask), size)
        if self._reservations and _has_room(self._unreserved, ask, size):
            return self._reserved()
        if walk.placed and _has_room(self._state.table, ask, size):
            ahead = tuple(walk.placed)[:NAMES_MAX]
            return reason(ReasonCode.BEHIND_HIGHER_PRIORITY, ahead=ahead, ahead_count=len(walk.placed))
        return self._busy_or_fragmented(ask, size)

    def _no_such_accelerator(self, ask: Ask) -> Reason:
        return reason(
            ReasonCode.NO_SUCH_ACCELERATOR,
            ask.accelerator,
            asked=ask.accelerator,
            asked_count=ask.count,
            in_fleet=self._table.models,
        )

    def _never_fits(self, ask: Ask, size: int) -> Reason:
        table = self._table
        for resource, asked in _asked(ask):
            plain = resource in RESOURCES
            has = table.capacity[:, RESOURCES.index(resource)] if plain else table.devices[:, ask.model]
            enough = int((has >= asked - TOLERANCE).sum())
            if enough < size:
                return reason(
                    ReasonCode.EXCEEDS_FLEET,
                    resource,
                    asked=asked,
                    nodes=size,
                    nodes_with_enough=enough,
                    largest_node_has=float(has.max(initial=0.0)),
                    nodes_in_fleet=len(table.nodes),
                )
        together = [resource for resource, _ in _asked(ask)] + [f"{k}={v}" for k, v in ask.labels]
        return reason(ReasonCode.CONSTRAINT_UNSATISFIABLE, nodes=size, together=tuple(together))

    def _unhealthy(self, able: Bools, size: int) -> Reason:
        out = [self._table.names[i] for i in np.flatnonzero(able & ~self._table.usable)]
        why = sorted({self._state.unusable.get(name, "down") for name in out})
        return reason(
            ReasonCode.NODE_UNHEALTHY,
            unusable=tuple(out[:NAMES_MAX]),
            unusable_count=len(out),
            because=", ".join(why),
            nodes=size,
            nodes_usable=int((able & self._table.usable).sum()),
        )

    def _reserved(self) -> Reason:
        holders = tuple(self._reservations)[:NAMES_MAX]
        return reason(ReasonCode.RESERVED_FOR, reserved_for=holders)

    def _busy_or_fragmented(self, ask: Ask, size: int) -> Reason:
        """The resource that the fewest usable nodes have enough of; fragmented where the sum would do."""
        blocking = [(self._free_of(name, ask.count < 1), asked) for name, asked in _asked(ask)]
        short = [(free, asked) for free, asked in blocking if free.nodes_with(asked) < size]
        free, asked = min(short or blocking, key=lambda pair: pair[0].nodes_with(pair[1]))
        evidence: Evidence = {
            "asked": asked,
            "nodes": size,
            "nodes_with_enough": free.nodes_with(asked),
            "free": free.total,
            "largest_free": free.largest,
        }
        if not short or free.total >= asked * size - TOLERANCE:
            return reason(ReasonCode.FRAGMENTED, free.resource, evidence)
        evidence["held_by"] = self._held_by(free.resource)
        return reason(ReasonCode.RESOURCES_BUSY, free.resource, evidence)

    def _free_of(self, resource: str, shared: bool) -> "_Free":
        known = self._free.get((resource, shared))
        if known is None:
            table = self._table
            if resource in RESOURCES:
                has = np.maximum(table.free[table.usable, RESOURCES.index(resource)], 0.0)
                total = float(has.sum())
            else:
                model = table.models.index(resource)
                has = (table.largest_share if shared else table.whole_free)[table.usable, model].astype(
                    np.float64
                )
                devices = table.device_free[table.usable][table.device_model[table.usable] == model]
                total = float(np.maximum(devices, 0.0).sum())
            known = self._free[resource, shared] = _Free(resource, np.sort(has), total)
        return known

    def _held_by(self, resource: str) -> tuple[str, ...]:
        """Who holds the resource, the largest holders first."""
        if resource not in self._holders:
            held = [(_amount(record, resource), record.key) for record in self._state.live.values()]
            largest = sorted((pair for pair in held if pair[0] > 0), key=lambda pair: (-pair[0], pair[1]))
            self._holders[resource] = tuple(key for _, key in largest[:NAMES_MAX])
        return self._holders[resource]


class _Free(msgspec.Struct, frozen=True):
    """What usable nodes have free of one resource, ascending, and its sum (devices: also parts of them)."""

    resource: str
    ascending: Floats
    total: float

    def nodes_with(self, asked: float) -> int:
        return len(self.ascending) - int(np.searchsorted(self.ascending, asked - TOLERANCE))

    @property
    def largest(self) -> float:
        return float(self.ascending[-1]) if len(self.ascending) else 0.0


def _has_room(table: NodeTable, ask: Ask, size: int) -> bool:
    return table.may_fit(ask) and int(table.fitting(ask).sum()) >= size


def _asked(ask: Ask) -> list[tuple[str, float]]:
    """(resource, quantity) of everything asked on a node, accelerators first."""
    devices = [(ask.accelerator, ask.count)] if ask.model >= 0 else []
    return devices + [(name, float(ask.vector[r])) for r, name in enumerate(RESOURCES) if ask.vector[r] > 0]


def _amount(record: Record, resource: str) -> float:
    if record.attempt is None:
        return 0.0
    shares = [placement.share for placement in record.attempt.placements]
    if resource in RESOURCES:
        return float(sum(getattr(share, resource) for share in shares))
    return sum(share.accelerator_count for share in shares if share.accelerator == resource)


def _is_loading(record: Record) -> bool:
    attempt = record.attempt
    return (
        record.workload.kind is Kind.SERVE
        and record.status is Status.RUNNING
        and attempt is not None
        and attempt.ready_s is None
    )


def _starting(record: Record, now_s: float) -> Reason:
    attempt = record.attempt
    assert attempt is not None
    since_s = now_s - attempt.placed_s
    nodes = tuple(p.node for p in attempt.placements)[:NAMES_MAX]
    if attempt.started_s is not None:
        return reason(ReasonCode.LOADING_MODEL, attempt=attempt.number, since_s=since_s, nodes=nodes)
    code = ReasonCode.WAITING_FOR_GANG if record.workload.worker_count > 1 else ReasonCode.STARTING
    return reason(
        code, attempt=attempt.number, since_s=since_s, nodes=nodes, workers=record.workload.worker_count
    )
