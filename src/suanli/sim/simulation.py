"""A trace on a virtual clock: arrivals, the fake engine, and `kernel.step`, the very one that the controller calls."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory, Place, Stop
from suanli.domain.errors import SuanliError
from suanli.domain.fleet import Fleet
from suanli.domain.observation import Launch
from suanli.domain.record import Record
from suanli.domain.transition import apply
from suanli.domain.workload import Workload
from suanli.kernel.outcome import events_of, events_seen
from suanli.kernel.state import State, by_seq
from suanli.kernel.step import step
from suanli.policies import compiled
from suanli.policies.parts import Policy
from suanli.ports.clock import VirtualClock
from suanli.ports.fake_engine import FakeEngine
from suanli.sim.chronicle import Chronicle, stays_so_far
from suanli.sim.faults import Fault
from suanli.sim.outcome import Outcome
from suanli.sim.trace import Arrival, Trace

STEPS_AT_ONCE_MAX = 64
"""Steps at one instant: more would mean that decisions undo each other for ever."""

WAKES_IN_VAIN_MAX = 100
"""Instants in a row at which nothing happens, while nothing runs but what never ends: more would go on for ever."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The world that is simulated.

    An attempt takes `start_s` to come up, a later one of the same workload `restart_s`; what is told to stop, or was on
    a node that failed, has ended after `stop_s`. With `oracle` the policy is told how much there is to do. What happens
    is seen, and decided upon, at multiples of `grid_s`; 0: at once.
    """

    start_s: float = 0.0
    restart_s: float = 0.0
    stop_s: float = 0.0
    oracle: bool = False
    seed: int = 0
    grid_s: float = 0.0


class Simulation:
    """One run, by `advance` from instant to instant or by `run` to its end. The fleet neither grows nor shrinks.

    A step is made at each instant at which something arrives, begins, ends or fails, and at those at which the policy
    asked to be woken. The same arguments give the same run to the byte; `rng` is what the policy draws from.
    """

    def __init__(
        self,
        trace: Trace,
        fleet: Fleet,
        policy: Policy,
        conditions: Conditions,
        rng: np.random.Generator,
        *,
        faults: Sequence[Fault] = (),
        cpu_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        compiled.always()
        self.fleet = msgspec.structs.replace(fleet, scaling=None)
        self.state = State(self.fleet)
        self.memory = Memory()
        self.policy = policy
        self.arrived = 0
        self.steps = 0
        self.trace = trace
        self._conditions = conditions
        self._rng = rng
        self._faults = list(faults)
        self._down: set[str] = set()
        self._cpu_s = cpu_s
        self._policy_cpu_s = 0.0
        self._clock = VirtualClock(0.0)
        self._work: dict[str, float] = {}
        self._seq = 0
        self._rests = False
        self._in_vain = 0
        self._owed_s = math.inf  # a step is due then, whatever happens
        self._chronicle = Chronicle()
        self._engine = FakeEngine(
            self._clock,
            self.fleet.nodes,
            work=self._work_of,
            start_s=(conditions.start_s, conditions.restart_s),
            wind_down_s=conditions.stop_s,
            fence_s=conditions.stop_s,
        )

    @classmethod
    def going_on(
        cls,
        state: State,
        memory: Memory,
        left: Mapping[str, float],
        trace: Trace,
        policy: Policy,
        conditions: Conditions,
        rng: np.random.Generator,
        now_s: float,
    ) -> "Simulation":
        """From a live state on, of which it takes a copy: `left` is the work that each record still has, by key."""
        run = cls(trace, state.fleet, policy, conditions, rng)
        run.state, run.memory = state.copy(), memory
        run.state.set_nodes(run.fleet, state.unusable)
        run._clock.advance(now_s)
        run._seq = max((record.seq for record in state.records.values()), default=0)
        run._work.update(left)
        run._owed_s = now_s
        for record in by_seq(run.state.live):
            run._adopt(record)
        return run

    @property
    def now_s(self) -> float:
        return self._clock.now_s()

    @property
    def happened(self) -> int:
        """Events so far."""
        return self._seq

    def run(self) -> Outcome:
        """To the end: until all has ended, or nothing that is left can ever run."""
        while self.advance():
            pass
        return self.outcome()

    def advance(self) -> bool:
        """All that happens at the next instant and what is decided upon it; False where nothing can happen any more."""
        at_s = self._next_s()
        if math.isinf(at_s):
            return False
        self._clock.advance(max(0.0, at_s - self.now_s))
        self._owed_s = math.inf
        before = self._seq
        self._meet_faults()
        self._submit_arrivals()
        self._see()
        for _ in range(STEPS_AT_ONCE_MAX):
            decision = self._decide()
            self._carry_out(decision)
            if not self._see():
                break
        else:
            raise SuanliError(
                f"The policy {self.policy.name} does not come to rest at {self.now_s:g} s.",
                remedy="Report it with the trace and the seed: decisions at one instant must not undo each other.",
            )
        self._in_vain = self._in_vain + 1 if self._seq == before else 0
        self._chronicle.level(self.now_s, len(self.state.waiting), len(self.state.live))
        return True

    def left(self, record: Record) -> float:
        """Work that it truly still has."""
        return self._work[record.key] - record.done_by(self.now_s)

    def outcome(self) -> Outcome:
        """What there is so far."""
        arrivals, chronicle = self.trace.arrivals, self._chronicle
        return Outcome(
            policy=self.policy.name,
            trace=self.trace.name,
            seed=self._conditions.seed,
            oracle=self._conditions.oracle,
            fleet=self.fleet,
            records=tuple(sorted(self.state.records.values(), key=lambda record: record.seq)),
            work=self._work,
            stays=stays_so_far(chronicle.stays, self.state.live.values(), self.now_s),
            levels=tuple(chronicle.levels),
            from_s=arrivals[0].at_s if arrivals else 0.0,
            to_s=self.now_s,
            steps=self.steps,
            policy_cpu_s=self._policy_cpu_s,
            decisions_hash=chronicle.decisions_hash,
            is_whole=self.arrived == len(arrivals) and not self.state.live and not self.state.waiting,
        )

    def _adopt(self, record: Record) -> None:
        """What already runs goes on with what is left of it, at once."""
        attempt = record.attempt
        assert attempt is not None
        self._chronicle.placed(attempt)
        self._engine.take_over(_launch(record))
        if attempt.stop_cause is not None:
            self._engine.stop(record.key, attempt.number, attempt.stop_cause, record.workload.grace_s)

    def _next_s(self) -> float:
        """When something happens next. What waits for ever on an idle fleet is nothing to wait for."""
        arrivals = self.trace.arrivals
        instants = [self._engine.next_change_s(), self._owed_s]
        if self.arrived < len(arrivals):
            instants.append(arrivals[self.arrived].at_s)
        busy = bool(self.state.live) or self.arrived < len(arrivals)
        if self._faults and (busy or self.state.waiting):
            instants.append(self._faults[0].at_s)
        if self.memory.wake_s is not None and not self._wakes_in_vain():
            instants.append(max(self.memory.wake_s, self.now_s))
        starts = [record.workload.not_before_s or 0.0 for record in self.state.line.special.values()]
        instants += [start_s for start_s in starts if start_s > self.now_s]
        return self._on_grid(min(instants))

    def _wakes_in_vain(self) -> bool:
        """Whether nothing would come of it: nothing runs that could make room by its end."""
        if not self.state.live:
            return self._rests
        return self._in_vain >= WAKES_IN_VAIN_MAX and all(
            math.isinf(self._work[key]) for key in self.state.live
        )

    def _on_grid(self, at_s: float) -> float:
        grid_s = self._conditions.grid_s
        if not grid_s or at_s <= self.now_s or math.isinf(at_s):
            return at_s
        return max(at_s, math.ceil(at_s / grid_s - 1e-9) * grid_s)

    def _decide(self) -> Decision:
        began_s = self._cpu_s()
        decision, self.memory = step(
            self.state, self.policy, self.memory, self.now_s, self._rng, explained=False
        )
        self._policy_cpu_s += self._cpu_s() - began_s
        self.steps += 1
        self._rests = not decision.actions
        self._chronicle.decided(self.now_s, decision.actions)
        return decision

    def _carry_out(self, decision: Decision) -> None:
        self._happen(events_of(decision))
        for action in decision.actions:
            record = self.state.records.get(getattr(action, "key", ""))
            if record is None or record.attempt is None:
                continue
            attempt = record.attempt
            if isinstance(action, Place):
                self._chronicle.placed(attempt)
                self._engine.start(_launch(record))
            elif isinstance(action, Stop):
                self._engine.stop(record.key, attempt.number, action.cause, record.workload.grace_s)

    def _see(self) -> bool:
        """Take in what the engine did meanwhile. True where something ended, so that there may be room."""
        ended = False
        for view in self._engine.changes():
            record = self.state.records[view.key]
            attempt = record.attempt
            if attempt is None or attempt.number != view.number:
                continue
            events = events_seen(record, attempt, view)
            self._happen(events)
            if events and isinstance(events[-1], ev.Ended):
                ended = True
                self._chronicle.ended(record, attempt, self.now_s, events[-1].cause.value)
                self._engine.forget(view.key, view.number)
        return ended

    def _submit_arrivals(self) -> None:
        arrivals = self.trace.arrivals
        while self.arrived < len(arrivals) and arrivals[self.arrived].at_s <= self.now_s:
            workload = _told(arrivals[self.arrived], self._conditions.oracle)
            self._work[workload.name] = arrivals[self.arrived].work
            self._happen([ev.Submitted(key=workload.name, workload=workload)])
            self.arrived += 1

    def _meet_faults(self) -> None:
        met = False
        while self._faults and self._faults[0].at_s <= self.now_s:
            fault, met = self._faults.pop(0), True
            if fault.back:
                self._engine.return_node(fault.node)
                self._down.discard(fault.node)
            else:
                self._engine.lose_node(fault.node)
                self._down.add(fault.node)
        if met:
            self.state.set_nodes(self.fleet, dict.fromkeys(sorted(self._down), "down"))

    def _happen(self, events: Iterable[ev.WorkloadEvent]) -> None:
        records = self.state.records
        for event in events:
            self._seq += 1
            entry = ev.Entry(seq=self._seq, at_s=self.now_s, actor="simulation", event=event)
            self.state.apply((apply(records.get(event.key), entry),))

    def _work_of(self, launch: Launch) -> float:
        return self._work[launch.key]


def _told(arrival: Arrival, oracle: bool) -> Workload:
    """What the policy is told of it: an oracle also of how much there truly is to do."""
    workload = arrival.workload
    if not oracle:
        return workload
    if workload.speeds:
        return msgspec.structs.replace(workload, work=arrival.work)
    return msgspec.structs.replace(workload, duration_s=arrival.work)


def _launch(record: Record) -> Launch:
    assert record.attempt is not None
    return Launch(
        key=record.key,
        number=record.attempt.number,
        workload=record.workload,
        placements=record.attempt.placements,
        output_dir="",
        log_dir="",
    )
