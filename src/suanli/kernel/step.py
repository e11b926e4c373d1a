"""`step`: admit, order, allocate, place, rearrange, explain. Pure, total, bounded by work."""

import msgspec
import numpy as np

from suanli.domain.decision import Action, Decision, Memory, Place, Reservation, Stop
from suanli.domain.record import Placement, Record, Status
from suanli.domain.workload import EndCause
from suanli.kernel.admit import QuotaLedger, not_eligible
from suanli.kernel.asks import Shapes, Wants, find_room
from suanli.kernel.explain import Explainer, Walk
from suanli.kernel.preempt import Room, Victims, make_room
from suanli.kernel.rearrange import rearrange
from suanli.kernel.state import State
from suanli.policies.parts import Policy

PREEMPTION_TRIES_MAX = 16
"""Searches for victims in one step: each costs O(nodes); what is not tried now is tried in the next step."""


def step(
    state: State, policy: Policy, memory: Memory, now_s: float, rng: np.random.Generator
) -> tuple[Decision, Memory]:
    """Decide. The same arguments always give the same answer; `state` is left as it was.

    O(W log W + S·N + P·N) for W waiting workloads of S distinct shapes, N nodes and P <= 16 preemption searches.
    """
    cycle = _Cycle(state, policy, memory, now_s)
    eligible = cycle.admit()
    ordered = cycle.order(eligible)
    for record in ordered:
        wants = cycle.allocate(record)
        cycle.place(record, wants)
    changes = rearrange(state, cycle.table, memory, now_s, cycle.unplaced(), policy)
    cycle.actions.extend(changes.actions)
    reservations = {**cycle.reservations, **changes.reservations}
    decision = cycle.explain()
    return decision, msgspec.structs.replace(changes.memory, reservations=reservations)


class _Cycle:
    """The working table and what has been decided so far. Lives for one step."""

    def __init__(self, state: State, policy: Policy, memory: Memory, now_s: float) -> None:
        self.state = state
        self.policy = policy
        self.now_s = now_s
        self.table = state.table.copy()
        self.shapes = Shapes(state.table, policy)
        self.quota = QuotaLedger(state)
        self.actions: list[Action] = []
        self.placed: list[str] = []
        self.reservations: dict[str, Reservation] = {}
        self.walk = Walk()
        self._full: set[object] = set()
        self._hopeless: dict[object, int] = {}
        self._tries = 0
        self._stopping = {r.key: r for r in state.live.values() if r.status is Status.STOPPING}
        self._victims = Victims.among(state.live.values(), state.table, now_s)
        self._keep_reservations(memory)

    def admit(self) -> list[Record]:
        """Split off what may not start now, whatever is free."""
        eligible: list[Record] = []
        for record in self.state.waiting.values():
            why = not_eligible(record, self.state, self.now_s)
            if why is None:
                eligible.append(record)
            else:
                self.walk.decided[record.key] = why
        return eligible

    def order(self, eligible: list[Record]) -> list[Record]:
        """Reserved first (room is being made for them), then by the policy, ties by submission."""
        if not eligible:
            return []
        queue = self.state.queue(eligible, self.now_s)
        ranks = np.lexsort((queue.seq, self.policy.order(queue)))
        ordered = [eligible[int(i)] for i in ranks]
        reserved = [record for record in ordered if record.key in self.reservations]
        return reserved + [record for record in ordered if record.key not in self.reservations]

    def allocate(self, record: Record) -> Wants:
        """What to ask for: the alternatives of its demand, and the numbers of nodes that the policy would give."""
        return self.shapes.of(record)

    def place(self, record: Record, wants: Wants) -> None:
        """Start it, or keep or make room for it, or leave it waiting."""
        over_quota = self.quota.refusal(record, wants)
        if over_quota is not None:
            self.walk.decided[record.key] = over_quota
            return
        placements = self._room_for(record, wants)
        if placements is not None:
            self._start(record, placements)
        elif record.key in self.reservations:
            self.walk.making_room[record.key] = self._awaited(record)
        elif not self._preempt_for(record, wants):
            self._full.add(wants.shape)
            self.walk.blocked[record.key] = (record, wants)

    def unplaced(self) -> list[tuple[Record, Wants]]:
        return list(self.walk.blocked.values())

    def explain(self) -> Decision:
        """Name the dominant reason of everything that waits."""
        explainer = Explainer(self.state, self.table, self.reservations, self.now_s)
        reasons, waiting = explainer.explain(self.walk)
        return Decision(
            policy=self.policy.name,
            at_s=self.now_s,
            actions=tuple(self.actions),
            reasons=reasons,
            waiting=waiting,
        )

    def _keep_reservations(self, memory: Memory) -> None:
        for key, reservation in memory.reservations.items():
            if _still_wants(self.state.records.get(key)) and self._is_awaited(reservation):
                self.reservations[key] = reservation
                self.table.take(reservation.placements)

    def _is_awaited(self, reservation: Reservation) -> bool:
        """Whether the reserved room is there, or will be once what is stopping has left."""
        later = self.state.table.copy()
        for record in self.state.live.values():
            if record.status is Status.STOPPING and record.attempt is not None:
                later.give(record.attempt.placements)
        return later.can_take(reservation.placements)

    def _room_for(self, record: Record, wants: Wants) -> tuple[Placement, ...] | None:
        reservation = self.reservations.get(record.key)
        if reservation is None:
            return None if wants.shape in self._full else find_room(self.table, wants, self.policy)
        self.table.give(reservation.placements)
        if self.table.can_take(reservation.placements):
            return reservation.placements
        self.table.take(reservation.placements)
        return None

    def _start(self, record: Record, placements: tuple[Placement, ...]) -> None:
        self.reservations.pop(record.key, None)
        self.table.take(placements)
        self.quota.take(record, placements)
        self.placed.append(record.key)
        self.walk.placed[record.key] = record
        self.actions.append(Place(key=record.key, number=record.attempts_made + 1, placements=placements))

    def _preempt_for(self, record: Record, wants: Wants) -> bool:
        """Reserve room that is being vacated, or end cheaper work of lower priority to get it. False: neither helps."""
        priority = record.workload.priority
        if self._tries >= PREEMPTION_TRIES_MAX or priority <= self._hopeless.get(wants.shape, -1):
            return False
        if not self._leaving() and not self._victims.any_below(priority):
            return False
        self._tries += 1
        later = self.table.copy()
        for stopping in self._leaving():
            if stopping.attempt is not None:
                later.give(stopping.attempt.placements)
        vacated = find_room(later, wants, self.policy)
        room = Room(vacated, ()) if vacated else make_room(later, wants, priority, self._victims)
        if room is None:
            self._hopeless[wants.shape] = priority
            return False
        for victim in room.victims:
            self._stop(victim, record)
        self.reservations[record.key] = Reservation(placements=room.placements, since_s=self.now_s)
        self.table.take(room.placements)
        self.walk.making_room[record.key] = self._awaited(record)
        return True

    def _stop(self, victim: Record, record: Record) -> None:
        assert victim.attempt is not None
        self._stopping[victim.key] = victim
        self._victims = self._victims.without(victim.key)
        self.actions.append(
            Stop(
                key=victim.key,
                number=victim.attempt.number,
                cause=EndCause.PREEMPTED,
                stopped_for=record.key,
                lost_s=victim.unsaved_s(self.now_s),
            )
        )

    def _leaving(self) -> list[Record]:
        return list(self._stopping.values())

    def _awaited(self, record: Record) -> tuple[str, ...]:
        reserved = self.reservations.get(record.key)
        nodes = {p.node for p in reserved.placements} if reserved else set[str]()
        return tuple(
            r.key for r in self._leaving() if r.attempt and any(p.node in nodes for p in r.attempt.placements)
        )


def _still_wants(record: Record | None) -> bool:
    """Whether a reservation has somebody to come: one that waits, or that is being moved there."""
    if record is None:
        return False
    moving = record.attempt is not None and record.attempt.stop_cause is EndCause.REBALANCED
    return record.status is Status.WAITING or (record.status is Status.STOPPING and moving)
