"""`step`: admit, order, allocate, place, rearrange, explain. Pure, total, bounded by work."""

from functools import cached_property

import msgspec
import numpy as np

from suanli.domain.decision import Decision, Memory, Place, Reservation
from suanli.domain.reasons import Reason, ReasonCode, reason
from suanli.domain.record import Placement, Record, Status
from suanli.domain.workload import EndCause
from suanli.kernel.admit import QuotaLedger, not_eligible
from suanli.kernel.asks import Wants, are_met, find_room
from suanli.kernel.backfill import Backfill
from suanli.kernel.defragment import Movable
from suanli.kernel.explain import Blocked, Explainer, Walk, reserved_for
from suanli.kernel.patience import SET_ASIDE_AFTER_S, Patience
from suanli.kernel.preempt import PRIORITY_MAX, Room, Victims, claim_of, make_room
from suanli.kernel.rearrange import Outlook, clear_out, rearrange
from suanli.kernel.sharers import model_of, sharers, shares
from suanli.kernel.sharing import Round, turns_now
from suanli.kernel.state import State, by_seq
from suanli.kernel.turns import Turns
from suanli.policies.parts import AtOnce, Ground, InRounds, Policy
from suanli.policies.table import Indices, NodeTable

PREEMPTION_TRIES_MAX = 16
"""Searches for victims in one step: each costs O(nodes); what is not tried now is tried in the next step."""

MOVES_TRIED_MAX = 16
"""Searches for something to move in one step."""

NOT_ITS_TURN = reason(ReasonCode.BEHIND_FAIR_SHARE)


def step(
    state: State,
    policy: Policy,
    memory: Memory,
    now_s: float,
    rng: np.random.Generator,
    *,
    explained: bool = True,
) -> tuple[Decision, Memory]:
    """Decide. The same arguments always give the same answer; `state` is left as it was.

    O(W log W + S·N + P·N) for W waiting workloads of S distinct shapes, N nodes and P <= 16 preemption searches. Where
    nobody will ask why (a simulation), reasons need not be found: what is decided is the same without them.
    """
    cycle = _Cycle(state, policy, memory, now_s, rng)
    eligible = cycle.admit()
    if policy.share is not None:
        eligible = cycle.take_turns(eligible, policy.share, rng)
    cycle.order(eligible)
    for record in cycle.turns.after(frozenset(cycle.reservations)):
        wants = cycle.allocate(record)
        cycle.place(record, wants)
    cycle.rearrange()
    return cycle.explain() if explained else cycle.decision(), cycle.memory()


class _Cycle:
    """The working table and what has been decided so far. Lives for one step.

    `table` is what is free now; what is reserved or set aside is taken from it and from `later`.
    """

    def __init__(
        self, state: State, policy: Policy, memory: Memory, now_s: float, rng: np.random.Generator
    ) -> None:
        self.state = state
        self.policy = policy
        self.now_s = now_s
        self.table = state.table.copy()
        self.shapes = state.shapes(policy)
        self.ground = Ground(
            mix=state.mix() if policy.place.knows_mix else None,
            links=state.fleet.links,
            models_at=state.models_at,
            rng=rng,
        )
        self.quota = QuotaLedger(state)
        self.patience = Patience(state, now_s)
        self.changes = clear_out(state, memory, now_s)
        self.reservations: dict[str, Reservation] = {}
        self.walk = Walk()
        self._full: set[Wants] = set()
        self._tries = 0
        self._moves_tried = 0
        self.backfill = Backfill(state, policy, self.ground, now_s)
        self.turns: Turns
        self.round = Round({})
        self._keep_reservations(memory)

    @cached_property
    def later(self) -> NodeTable:
        """What will be free once all that is stopping has left. Made when first asked for, then kept in step."""
        later = self.table.copy()
        for record in self.changes.stopping.values():
            if record.attempt is not None:
                later.give(record.attempt.placements)
        return later

    @cached_property
    def victims(self) -> Victims:
        return Victims(self.state, self.changes.stopping, self.now_s)

    @cached_property
    def movable(self) -> Movable:
        return Movable(self.state, self.changes.stopping, self.now_s)

    def admit(self) -> Indices:
        """Rows of the line that may start now; split off what may not, whatever is free."""
        line = self.state.line
        may = np.ones(len(line), dtype=np.bool_)
        for record in by_seq(line.special):
            why = not_eligible(record, self.state, self.now_s)
            if why is not None:
                self._refuse(record, why)
                may[line.row(record.key)] = False
        return np.flatnonzero(may)

    def take_turns(self, eligible: Indices, rule: InRounds | AtOnce, rng: np.random.Generator) -> Indices:
        """Accelerators that are shared over time: stop whose turn is over, start whose turn it is. Returns the rest."""
        line = self.state.line
        takes = np.array([shares(line.records[int(row)].workload) for row in eligible], dtype=np.bool_)
        waiting = [line.records[int(row)] for row in eligible[takes]]
        who = sharers(self.state, waiting, self.changes.stopping, self.now_s)
        self.round = turns_now(self.state, who, rule, self.changes.memory, self.now_s, rng)
        on = self.round.model
        for record in who.records:
            if record.attempt is not None and on.get(record.key) != model_of(record):
                self._stop(record, EndCause.PREEMPTED)
        mine = [record for record in who.records if record.attempt is None]
        for record in mine:
            if record.key not in on:
                self._refuse(record, NOT_ITS_TURN)
        for record in sorted((r for r in mine if r.key in on), key=lambda r: (-r.workload.nodes, r.seq)):
            self.place_on(record, on[record.key])
        return eligible[~takes]

    def place_on(self, record: Record, model: str) -> None:
        """Start it on that accelerator, or keep room there that is being vacated for it."""
        reservation = self.reservations.get(record.key)
        if reservation is not None and reservation.placements[0].share.accelerator != model:
            self._give(self.reservations.pop(record.key).placements)
        wants = self.allocate(record)
        caps = tuple(
            cap if ask.accelerator == model else 0 for ask, cap in zip(wants.asks, wants.caps, strict=True)
        )
        wants = self.shapes.capped(wants, caps)
        if max(wants.caps) < wants.fewest:
            self._refuse(record, self.quota.refusal(record, wants))
            return
        placements = self._room_for(record, wants)
        if placements is not None:
            self._start(record, placements)
        elif record.key in self.reservations or self._reserve(record, self._vacated(wants)):
            self.quota.take(record, self.reservations[record.key].placements)
            self.walk.making_room.append(record.key)
        else:
            self._full.add(wants)
            self.walk.blocked[record.key] = Blocked(record, wants, len(self.walk.placed))

    def order(self, eligible: Indices) -> None:
        """By the policy, ties by submission; but reserved first, for room is being made for them."""
        line, queue = self.state.line, self.state.queue(eligible, self.now_s)
        ranks = np.lexsort((queue.seq, self.policy.order(queue)))
        rows = eligible[ranks]
        due = queue.waited_s[ranks] >= SET_ASIDE_AFTER_S
        kinds = line.kinds(rows, self.quota.teams)
        self.turns = Turns(line, rows, kinds, queue.priority[ranks], due, len(self.table.nodes))

    def allocate(self, record: Record) -> Wants:
        """What to ask for: the alternatives of its demand and the numbers of nodes, as far as its quota goes."""
        return self.quota.within(record, self.shapes.of(record), self.shapes)

    def place(self, record: Record, wants: Wants) -> None:
        """Start it, or keep or make room for it, or leave it waiting."""
        if max(wants.caps) < wants.fewest:
            why = self.quota.refusal(record, wants)
            self._refuse(record, why)
            self._close(why, np.inf)
            return
        placements = self._room_for(record, wants) or self._room_taken_back(record, wants)
        if placements is not None and self.backfill.kept and record.key not in self.reservations:
            placements = self.backfill.room_now(record, wants)
            if placements is None:
                self.walk.decided[record.key] = reserved_for(self.backfill.kept)
                self.backfill.keep_for(record, wants, self.table)
                return
        if placements is not None:
            self._start(record, placements)
        elif (
            record.key in self.reservations
            or self._preempt_for(record, wants)
            or self._move_for(record, wants)
        ):
            self.quota.take(record, self.reservations[record.key].placements)
            self.walk.making_room.append(record.key)
        else:
            self._block(record, wants)

    def _block(self, record: Record, wants: Wants) -> None:
        """There is no room: by the policy room is kept for it, and its kind need not be looked at again."""
        self._full.add(wants)
        blocked = self.walk.blocked[record.key] = Blocked(record, wants, len(self.walk.placed))
        if not self.backfill.keep_for(record, wants, self.table) and self.patience.is_due(record):
            later = self.later if self.changes.stopping else self.table
            self._take(self.patience.keep_for(record, wants, later))
        if not self.backfill.may_keep:
            searched = self._tries < PREEMPTION_TRIES_MAX
            self._close(blocked, record.workload.priority if searched else np.inf)

    def rearrange(self) -> None:
        """Move work off hot nodes; grow and shrink the fleet."""
        kept = [reservation.placements for reservation in self.reservations.values()]
        outlook = Outlook(
            table=self.table,
            unreserved=self._unreserved,
            spoken_for={p.node for places in [*self.walk.placed.values(), *kept] for p in places},
            blocked=self.walk.without_room(self.turns if self.state.fleet.scaling else None),
        )
        rearrange(self.state, outlook, self.changes, self.now_s, self.policy)

    def explain(self) -> Decision:
        """Name the dominant reason of everything that waits."""
        kept = {key: reservation.placements for key, reservation in self.reservations.items()}
        if self.walk.blocked:
            self.victims.look_again()
        explainer = Explainer(
            self.state,
            table=self.table,
            unreserved=self._unreserved(),
            kept={**kept, **self.patience.set_aside},
            stopping=self.changes.stopping,
            preemption_helps=lambda record, wants: self.victims.could_make_room(
                self.later, wants, claim_of(record)._replace(priority=PRIORITY_MAX)
            ),
            now_s=self.now_s,
        )
        self.walk.passed = [(record.key, kind) for record, kind in self.turns.passed()]
        reasons, waiting = explainer.explain(self.walk)
        return msgspec.structs.replace(self.decision(), reasons=reasons, waiting=waiting)

    def decision(self) -> Decision:
        return Decision(policy=self.policy.name, at_s=self.now_s, actions=tuple(self.changes.actions))

    def memory(self) -> Memory:
        reservations = {**self.reservations, **self.changes.reservations}
        return msgspec.structs.replace(
            self.changes.memory,
            reservations=reservations,
            rounds=self.round.rounds,
            wake_s=self.round.wake_s,
        )

    def _keep_reservations(self, memory: Memory) -> None:
        """Those whose room is there, or will be once what is stopping has left."""
        for key, reservation in memory.reservations.items():
            record = self.state.records.get(key)
            if record is None or not self._is_meant(record, reservation):
                continue
            if self.later.can_take(reservation.placements):
                self.reservations[key] = reservation
                self._take(reservation.placements)

    def _is_meant(self, record: Record, reservation: Reservation) -> bool:
        """Whether somebody is to come, who waits or is being moved there, and still asks for just this."""
        moving = record.attempt is not None and record.attempt.stop_cause is EndCause.REBALANCED
        comes = record.status is Status.WAITING or (record.status is Status.STOPPING and moving)
        return comes and are_met(self.state.table, self.shapes.of(record), reservation.placements)

    def _room_for(self, record: Record, wants: Wants) -> tuple[Placement, ...] | None:
        """What is reserved for it as soon as it is there, else whatever is free; until then the reservation stays."""
        reservation = self.reservations.get(record.key)
        if reservation is None:
            return None if wants in self._full else find_room(self.table, wants, self.policy, self.ground)
        self._give(reservation.placements)
        if self.table.can_take(reservation.placements):
            return reservation.placements
        elsewhere = find_room(self.table, wants, self.policy, self.ground)
        if elsewhere is None:
            self._take(reservation.placements)
        return elsewhere

    def _room_taken_back(self, record: Record, wants: Wants) -> tuple[Placement, ...] | None:
        """Room that was set aside for work which the record, a replica, might end if that ran there."""
        kept = self.patience.yields_to(record)
        if kept is None or record.key in self.reservations:
            return None
        self._give(kept)
        placements = find_room(self.table, wants, self.policy, self.ground)
        if placements is None:
            self._take(kept)
        else:
            self.patience.set_aside.clear()
        return placements

    def _close(self, why: Blocked | Reason, priority: float) -> None:
        """Nothing of this kind and of no higher priority need be looked at again in this step."""
        kind = self.turns.close(priority, spares_due=self.patience.is_open)
        self.walk.of_kind[kind] = why

    def _refuse(self, record: Record, why: Reason) -> None:
        self.walk.decided[record.key] = why
        reservation = self.reservations.pop(record.key, None)
        if reservation is not None:
            self._give(reservation.placements)

    def _start(self, record: Record, placements: tuple[Placement, ...]) -> None:
        self.reservations.pop(record.key, None)
        self._take(placements)
        self.backfill.starts(record, placements)
        self.patience.starts(record, placements)
        self.quota.take(record, placements)
        self.walk.placed[record.key] = placements
        self.changes.actions.append(
            Place(key=record.key, number=record.attempts_made + 1, placements=placements)
        )

    def _preempt_for(self, record: Record, wants: Wants) -> bool:
        """Reserve room that is being vacated, or end cheaper work of lower standing to get it. False: neither helps."""
        claim = claim_of(record)
        if self._tries >= PREEMPTION_TRIES_MAX:
            return False
        room = self._vacated(wants)
        may_end = room is None and self.state.may_be_preempted(claim.priority, serves=claim.serves)
        if may_end and self.victims.could_make_room(self.later, wants, claim):
            self._tries += 1
            room = make_room(self.later, wants, claim, self.victims)
            if room is None:
                self.victims.look_again()
        for victim in room.victims if room else ():
            self._stop(victim, EndCause.PREEMPTED, stopped_for=record.key)
        return self._reserve(record, room)

    def _move_for(self, record: Record, wants: Wants) -> bool:
        """Move one that runs elsewhere, so that there is room. False: not allowed any more, or it does not help."""
        if not self.state.fleet.migrate:
            return False
        started = len(self.state.records) - len(self.state.waiting)
        allowed = self.changes.memory.migrations + 1 <= self.state.fleet.migrate * started
        if not allowed or self._moves_tried >= MOVES_TRIED_MAX:
            return False
        self._moves_tried += 1
        move = self.movable.find(self.later, wants, self.policy, self.ground)
        if move is None:
            return False
        self._stop(move.record, EndCause.REBALANCED, stopped_for=record.key)
        self._take((move.to,))
        self.changes.move(move.record.key, move.to, self.now_s)
        return self._reserve(record, Room((move.room,), (move.record,), 0.0))

    def _reserve(self, record: Record, room: Room | None) -> bool:
        if room is None:
            return False
        self.reservations[record.key] = Reservation(placements=room.placements, since_s=self.now_s)
        self._take(room.placements)
        return True

    def _vacated(self, wants: Wants) -> Room | None:
        placements = find_room(self.later, wants, self.policy, self.ground) if self.changes.stopping else None
        return Room(placements, (), 0.0) if placements else None

    def _stop(self, record: Record, cause: EndCause, *, stopped_for: str = "") -> None:
        assert record.attempt is not None
        later = self.later
        self.changes.stop(record, cause, self.now_s, stopped_for=stopped_for)
        later.give(record.attempt.placements)
        if "victims" in self.__dict__:
            self.victims.remove(record.key)
        if "movable" in self.__dict__:
            self.movable.remove(record.key)

    def _unreserved(self) -> NodeTable:
        """What is free, whoever it is kept for."""
        if not self.reservations and not self.patience.set_aside:
            return self.table
        table = self.table.copy()
        for reservation in self.reservations.values():
            table.give(reservation.placements)
        for placements in self.patience.set_aside.values():
            table.give(placements)
        return table

    def _take(self, placements: tuple[Placement, ...]) -> None:
        self.table.take(placements)
        if "later" in self.__dict__:
            self.later.take(placements)

    def _give(self, placements: tuple[Placement, ...]) -> None:
        self.table.give(placements)
        if "later" in self.__dict__:
            self.later.give(placements)
