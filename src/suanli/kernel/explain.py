"""Why each workload waits: one dominant reason, found once per shape, with its evidence in numbers."""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from itertools import islice

import msgspec
import numpy as np

from suanli.domain.reasons import Evidence, Reason, ReasonCode, reason
from suanli.domain.record import Record, Status
from suanli.domain.workload import Kind
from suanli.kernel.asks import Wants
from suanli.kernel.evidence import NAMES_MAX, Able, Placed, Placements, asked_of, per_node, smallest_conflict
from suanli.kernel.state import State, by_seq
from suanli.kernel.turns import Turns
from suanli.policies.scale import is_scaled
from suanli.policies.table import TOLERANCE, Ask, Bools, NodeTable

_PRECEDENCE = {code.token: i for i, code in enumerate(ReasonCode)}


class Blocked(msgspec.Struct, frozen=True):
    """What found no room, and how many had been placed in this step before its turn."""

    record: Record
    wants: Wants
    placed_before: int


class Walk(msgspec.Struct):
    """What became of each workload in this step's walk.

    `passed` are (key, kind) of those that were not looked at, for what became of their kind (`of_kind`) is theirs too.
    """

    decided: dict[str, Reason] = msgspec.field(default_factory=dict[str, Reason])
    placed: dict[str, Placements] = msgspec.field(default_factory=dict[str, Placements])
    making_room: list[str] = msgspec.field(default_factory=list[str])
    blocked: dict[str, Blocked] = msgspec.field(default_factory=dict[str, Blocked])
    of_kind: dict[int, Blocked | Reason] = msgspec.field(default_factory=dict[int, Blocked | Reason])
    passed: list[tuple[str, int]] = msgspec.field(default_factory=list[tuple[str, int]])

    def without_room(self, turns: Turns | None) -> list[tuple[Record, Wants]]:
        """What found no room: one of each kind, or all of it in the order of turns."""
        if turns is None:
            return [(first.record, first.wants) for first in self.blocked.values()]
        alike = {**self.blocked, **{r.key: self.of_kind[kind] for r, kind in turns.passed()}}
        all_of_them = ((record, alike.get(record.key)) for record, _ in turns.in_order())
        return [(record, what.wants) for record, what in all_of_them if isinstance(what, Blocked)]


class Explainer:
    """Looks at the tables after the walk. O(S·N) for S blocked shapes, O(1) for each further workload.

    `table` has all that was placed, reserved or set aside taken, `unreserved` only what was placed; `kept` are the
    placements reserved or set aside, by whom they are for, `stopping` what is to leave, in that order.
    """

    def __init__(
        self,
        state: State,
        *,
        table: NodeTable,
        unreserved: NodeTable,
        kept: Mapping[str, Placements],
        stopping: Mapping[str, Record],
        preemption_helps: Callable[[Record, Wants], bool],
        now_s: float,
    ) -> None:
        self._state = state
        self._table = table
        self._unreserved = unreserved
        self._kept = kept
        self._stopping = stopping
        self._preemption_helps = preemption_helps
        self._now_s = now_s
        self._by_wants: dict[tuple[Wants, Kind], Reason] = {}
        self._ables: dict[tuple[bytes, tuple[tuple[str, str], ...]], Able] = {}
        scaling = state.fleet.scaling
        self._template = NodeTable([scaling.template]) if scaling else None
        self._addable = 0
        if scaling:
            self._addable = scaling.nodes_max - sum(is_scaled(scaling, name) for name in table.names)

    def explain(self, walk: Walk) -> tuple[tuple[Reason, ...], dict[str, int]]:
        """Distinct reasons, and for each waiting or starting workload the index of its own."""
        found: dict[str, Reason] = dict(walk.decided)
        placed = Placed(walk.placed, self._table)
        for key, blocked in walk.blocked.items():
            found[key] = self._why(blocked, placed)
        of_kind = {kind: self._why(what, placed) for kind, what in walk.of_kind.items()}
        found.update((key, of_kind[kind]) for key, kind in walk.passed)
        for key in walk.making_room:
            found[key] = self._making_room(key)
        for record in by_seq(self._state.live):
            if record.status is Status.STARTING or _is_loading(record):
                found[record.key] = _starting(record, self._now_s)
        return _distinct(found)

    def _why(self, what: Blocked | Reason, placed: Placed) -> Reason:
        if isinstance(what, Reason):
            return what
        asks = what.wants, what.record.workload.kind  # services may end what others may not
        why = self._by_wants.get(asks)
        if why is None:
            why = self._by_wants[asks] = self._for_wants(what, placed)
        return why

    def _making_room(self, key: str) -> Reason:
        nodes = tuple(p.node for p in self._kept.get(key, ()))
        awaited = {one for node in nodes for one in self._leaving.get(node, ())}
        return reason(
            ReasonCode.RESOURCES_BUSY,
            "room",
            preemption_helps=False,
            stopping=tuple(one for _, one in sorted(awaited)[:NAMES_MAX]),
            reserved_on=nodes[:NAMES_MAX],
        )

    @cached_property
    def _leaving(self) -> dict[str, list[tuple[int, str]]]:
        """By node what is to leave it, each with its place in that order."""
        leaving: dict[str, list[tuple[int, str]]] = {}
        for i, record in enumerate(self._stopping.values()):
            for placement in record.attempt.placements if record.attempt else ():
                leaving.setdefault(placement.node, []).append((i, record.key))
        return leaving

    def _for_wants(self, blocked: Blocked, placed: Placed) -> Reason:
        """The reason of the alternative that is nearest to running: the last tier, then the last code, wins."""
        wants = blocked.wants
        reasons = [
            self._for_alternative(ask, wants.fewest, placed, blocked.placed_before)
            for ask, _ in wants.alternatives()
        ]
        why = max(reasons, key=lambda why: _PRECEDENCE[why.token])
        if not why.will_preemption_help:
            return why
        return msgspec.structs.replace(
            why, will_preemption_help=self._preemption_helps(blocked.record, wants)
        )

    def _for_alternative(self, ask: Ask, size: int, placed: Placed, placed_before: int) -> Reason:
        able = self._able(ask)
        if able.count < size and able.count + self._may_be_added(ask) < size:
            return self._never_fits(ask, size, able)
        if able.usable_count < size and able.usable_count < able.count:
            return self._unhealthy(able, size)
        keepers = self._keepers(ask, size)
        if keepers:
            return reserved_for(keepers)
        ahead = self._ahead(ask, size, placed, placed_before)
        if ahead is not None:
            return ahead
        return self._busy_or_fragmented(ask, size, able)

    def _able(self, ask: Ask) -> Able:
        """Nodes that could ever hold it; alike for most shapes, so that what is known of them is found once."""
        classes = self._table.able_classes(ask)
        key = (classes.tobytes(), ask.labels)
        known = self._ables.get(key)
        if known is None:
            known = self._ables[key] = Able(self._unreserved, self._unreserved.able(ask))
        return known

    def _may_be_added(self, ask: Ask) -> int:
        """How many nodes that could hold it scaling may still add."""
        if self._template is None or (ask.model == -2 and ask.accelerator not in self._template.models):
            return 0
        return self._addable if self._template.able(self._on_template(ask))[0] else 0

    def _on_template(self, ask: Ask) -> Ask:
        assert self._template is not None
        if ask.model == -1:
            return ask
        return msgspec.structs.replace(ask, model=self._template.models.index(ask.accelerator))

    def _never_fits(self, ask: Ask, size: int, able: Able) -> Reason:
        if ask.model == -2:
            return reason(
                ReasonCode.NO_SUCH_ACCELERATOR,
                ask.accelerator,
                asked=ask.accelerator,
                asked_count=ask.count,
                in_fleet=self._table.models,
            )
        in_fleet = len(self._table.nodes)
        enough_of: dict[str, Bools] = {}
        for resource, asked, has in per_node(self._table, ask):
            enough_of[resource] = has >= asked - TOLERANCE
            nodes_with_enough = int(enough_of[resource].sum())
            if nodes_with_enough < size:
                return reason(
                    ReasonCode.EXCEEDS_FLEET,
                    resource,
                    asked=asked,
                    nodes=size,
                    nodes_with_enough=nodes_with_enough,
                    largest_node_has=float(has.max(initial=0.0)),
                    nodes_in_fleet=in_fleet,
                )
        for label in ask.labels:
            enough_of["=".join(label)] = self._table.labelled((label,))
        together = smallest_conflict(enough_of, size)
        return reason(
            ReasonCode.CONSTRAINT_UNSATISFIABLE, nodes=size, nodes_with_all=able.count, together=together
        )

    def _unhealthy(self, able: Able, size: int) -> Reason:
        why = sorted({self._state.unusable.get(name, "down") for name in able.unusable})
        return reason(
            ReasonCode.NODE_UNHEALTHY,
            unusable=tuple(able.unusable[:NAMES_MAX]),
            unusable_count=len(able.unusable),
            because=", ".join(why),
            nodes=size,
            nodes_usable=able.usable_count,
        )

    def _keepers(self, ask: Ask, size: int) -> tuple[str, ...]:
        """For whom the room is kept that would do, if there is such."""
        if not self._kept or not self._unreserved.may_fit(ask):
            return ()
        fits = self._unreserved.fitting(ask)
        if int(fits.sum()) < size:
            return ()
        taken = fits & ~self._table.fitting(ask)
        names = {self._table.names[int(i)] for i in np.flatnonzero(taken)}
        return tuple(key for key, places in self._kept.items() if any(p.node in names for p in places))

    def _ahead(self, ask: Ask, size: int, placed: Placed, placed_before: int) -> Reason | None:
        """Who took the room that there was when the step began, if there was."""
        if not placed_before or not self._state.table.may_fit(ask):
            return None
        fitted = self._state.table.fitting(ask)
        if int(fitted.sum()) < size:
            return None
        ahead, count = placed.on(fitted, placed_before)
        if not count:
            return None
        return reason(ReasonCode.BEHIND_HIGHER_PRIORITY, ahead=ahead, ahead_count=count)

    def _busy_or_fragmented(self, ask: Ask, size: int, able: Able) -> Reason:
        """The resource that the fewest of those nodes have enough of; fragmented where the sum of them would do."""
        found = [(able.free_of(resource, ask), amount) for resource, amount in asked_of(ask)]
        enough, _, free, amount = min(
            (free.nodes_with(amount), i, free, amount) for i, (free, amount) in enumerate(found)
        )
        evidence: Evidence = {
            "asked": amount,
            "nodes": size,
            "nodes_with_enough": enough,
            "free": free.total,
            "largest_free": free.largest,
        }
        if enough >= size or free.total >= amount * size - TOLERANCE:
            return reason(ReasonCode.FRAGMENTED, free.resource, evidence)
        evidence["held_by"] = able.held_by(free.resource, self._state.live)
        return reason(ReasonCode.RESOURCES_BUSY, free.resource, evidence)


def reserved_for(keys: Collection[str]) -> Reason:
    """There is room, but it is kept for those."""
    names = tuple(islice(keys, NAMES_MAX))
    return reason(ReasonCode.RESERVED_FOR, reserved_for=names, reserved_count=len(keys))


def _distinct(found: Mapping[str, Reason]) -> tuple[tuple[Reason, ...], dict[str, int]]:
    index_of: dict[int, int] = {}
    distinct: list[Reason] = []
    waiting: dict[str, int] = {}
    for key, why in found.items():
        index = index_of.setdefault(id(why), len(distinct))
        if index == len(distinct):
            distinct.append(why)
        waiting[key] = index
    return tuple(distinct), waiting


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
