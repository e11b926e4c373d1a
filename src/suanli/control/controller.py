"""The loop: observe, decide, record, act, watch, again. The only place with hands."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock

import msgspec
import numpy as np
import structlog

from suanli.control import gates
from suanli.control.fleet import capacity
from suanli.control.front import Front
from suanli.control.launch import launch_of
from suanli.control.reconcile import Findings, reconcile
from suanli.control.scaling import Scalers
from suanli.control.watch import Watch
from suanli.domain import events as ev
from suanli.domain.decision import AddNodes, Decision, Memory, Place, RemoveNode, Stop, WarnIdle
from suanli.domain.errors import Conflict, Deposed, IllegalTransition, StaleWrite, SuanliError, Unavailable
from suanli.domain.fleet import Fleet
from suanli.domain.observation import Observation
from suanli.domain.record import Record, Status
from suanli.domain.service import Phase, ServiceRecord
from suanli.domain.traffic import Demand
from suanli.domain.workload import EndCause
from suanli.domain.world import World
from suanli.kernel.invariants import violations
from suanli.kernel.outcome import events_of
from suanli.kernel.services import Sight, replicas_of, tend
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.registry import parse
from suanli.ports.clock import Clock
from suanli.ports.engine import Engine, Nodes
from suanli.ports.store import Commit, Idempotency, Lease, Store
from suanli.ports.telemetry import Telemetry

ACTOR = "controller"
LEASE_S = 10.0
LOAD_WINDOW_S = 30.0
RATES = "rates"  # in its home, what services were asked

log = structlog.get_logger("suanli.control")


class Ports(msgspec.Struct, frozen=True):
    """All that lies outside of a controller."""

    store: Store
    engine: Engine
    clock: Clock
    telemetry: Telemetry
    nodes: Nodes | None = None


class Controller:
    """One cycle at a time, under `mutex`, which requests that must see and change one state hold too.

    What it keeps in memory can be dropped at any moment: everything is read again from the store and the engine.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        holder: str,
        home: Path,
        watch: Watch | None = None,
        front: Front | None = None,
        programs: Callable[[Record], tuple[str, ...]] = lambda record: record.workload.run,
    ) -> None:
        self.ports = ports
        self.mutex = RLock()
        self.world = World()
        self.state = State(Fleet(name="empty", nodes=()))
        self.memory = Memory()
        self.decision = Decision(policy="", at_s=0.0)
        self.seen = Observation(incarnation="")
        self.trouble: SuanliError | None = None
        self.cycle_s = 0.0
        self.watch = watch
        self.front = front
        self.scalers = Scalers(home / RATES)
        self._programs = programs
        self.winds_down = False  # from the next cycle on nothing starts, and what runs is told to end
        self._holder = holder
        self._home = home
        self._lease: Lease | None = None
        self._missing_since_s: dict[str, float] = {}

    @property
    def epoch(self) -> int:
        return self._lease.epoch if self._lease else 0

    def cycle(self) -> None:
        """Observe, decide, record, act. Trouble with what lies outside is kept in `trouble`: we hold and say so."""
        with self.mutex:
            started_s = self.ports.clock.now_s()
            try:
                self._hold_lease()
                self._cycle()
                self.trouble = None
            except (StaleWrite, IllegalTransition) as overtaken:
                log.debug("overtaken: the next cycle sees what came in between", sentence=overtaken.sentence)
            except (Deposed, Unavailable, Conflict) as error:
                self._note(error)
            self.cycle_s = self.ports.clock.now_s() - started_s

    def refresh(self) -> None:
        """Fold what others have appended. O(new entries)."""
        entries = self.ports.store.entries(self.world.seq)
        for entry in entries:
            self.world.fold(entry)
        self._take_in(entries)

    def tell(self, events: Sequence[ev.Event], actor: str, idempotency: Idempotency | None = None) -> None:
        """Append what somebody asked for, fold it, and let the next cycle begin at once. Under the mutex."""
        commit = Commit(
            events=tuple(events), actor=actor, at_s=self.ports.clock.now_s(), idempotency=idempotency
        )
        self.ports.store.commit(commit)
        self.refresh()
        self.ports.clock.wake()

    def give_up(self) -> None:
        """Let the lease go, so that a successor need not wait."""
        with self.mutex:
            if self._lease is not None:
                self.ports.store.release_lease(self._lease)
                self._lease = None

    def _hold_lease(self) -> None:
        now_s = self.ports.clock.now_s()
        if self._lease is None:
            self._lease = self.ports.store.acquire_lease(self._holder, now_s, LEASE_S)
            if self._lease is None:
                raise Unavailable(
                    "Another controller decides here.",
                    remedy="Stop it first (`suanli down`), or wait until its lease runs out.",
                    evidence={"holder": getattr(self.ports.store.lease(), "holder", "unknown")},
                )
            self._start_from_store()
        elif self._lease.expires_s - now_s < LEASE_S / 2:
            try:
                self._lease = self.ports.store.renew_lease(self._lease, now_s, LEASE_S)
            except Deposed:
                self._lease = None
                raise

    def _start_from_store(self) -> None:
        self.world = self.ports.store.world()
        self.memory = self.ports.store.memory()
        self.state = State(Fleet(name="empty", nodes=()))
        self.state.apply(self.world.records.values())

    def _cycle(self) -> None:
        self.refresh()
        self.seen = self.ports.engine.observe()
        now_s = self.ports.clock.now_s()
        findings = reconcile(self.world, self.seen, self._missing_since_s, now_s)
        self._missing_since_s = {key: self._missing_since_s.get(key, now_s) for key in findings.missing}
        self._record(findings.events)
        if self.front is not None:
            self.front.hear(now_s)
        self._direct()
        self._act_on(findings)
        self._measure(now_s)
        if self.winds_down:
            self._end_all()
        else:
            self._tend(now_s)
            self._decide(now_s)
        self._direct()
        if self.watch is not None:
            self.watch.look(now_s, self.state.table.names, self.state.live.keys() | self.state.waiting.keys())

    def _measure(self, now_s: float) -> None:
        telemetry = self.ports.telemetry
        telemetry.record(now_s, self.seen.samples, self.seen.attempts)
        self._count_nodes()
        self.state.load = telemetry.node_load(LOAD_WINDOW_S, now_s)
        used = telemetry.workload_use(LOAD_WINDOW_S, now_s)
        self.state.use = {
            key: use / held for key, use in used.items() if (held := _held(self.state.live.get(key)))
        }

    def _count_nodes(self) -> None:
        here = capacity(self.world.fleet, self.seen.nodes, self.world.cordoned)
        self.state.set_nodes(here.fleet, here.unusable)

    def _direct(self) -> None:
        """Requests go to who can answer them, and to nobody who is about to end."""
        if self.front is not None:
            self.front.direct(self.world, self.seen)

    def _tend(self, now_s: float) -> None:
        """What services should become is written down; the step then places their replicas like all other work."""
        draining = frozenset(name for name, drain in self.world.cordoned.items() if drain)
        events: list[ev.Event] = []
        for service in self.world.services.values():
            events += tend(service, self._sight(service, draining, now_s), now_s)
        self._record(events)

    def _sight(self, service: ServiceRecord, draining: frozenset[str], now_s: float) -> Sight:
        name, front = service.name, self.front
        replicas = tuple(r for r in replicas_of(name, self.world.records) if r.revision)
        against = gates.against(self.ports.store.models, self.world, service)
        if front is None:
            return Sight(replicas=replicas, demand=Demand(known=True), against=against, draining=draining)
        # the past matters only then, and adding it up takes time
        watched = service.phase is Phase.UPDATING
        demand = front.demand(name, now_s)
        return Sight(
            replicas=replicas,
            windows=front.windows(name, service.step_s) if watched else {},
            demand=demand,
            wish=self.scalers.wish(service, replicas, demand, front.arrived(name), self.state.use, now_s),
            against=against,
            draining=draining,
        )

    def _decide(self, now_s: float) -> None:
        policy = parse(self.world.policy)
        decision, memory = step(self.state, policy, self.memory, now_s, np.random.default_rng(self.world.seq))
        broken = violations(self.state, decision)
        if broken:
            log.error(
                "invariant violated, nothing was done",
                violations=broken,
                decision=msgspec.to_builtins(decision),
            )
            raise Unavailable(
                "A decision broke an invariant; nothing was done.", evidence={"violations": broken}
            )
        if decision.actions or memory != self.memory or _tokens(decision) != _tokens(self.decision):
            self._record(events_of(decision), decision, memory)
        self.decision, self.memory = decision, memory
        for action in decision.actions:
            self._act(action)

    def _end_all(self) -> None:
        """What is drained waits again: the next controller of this store starts it from its last checkpoint."""
        live = [r for r in self.state.live.values() if r.status is not Status.STOPPING]
        attempts = [(r.key, r.attempt.number) for r in live if r.attempt is not None]
        self._record([ev.StopBegun(key=key, number=n, cause=EndCause.DRAINED) for key, n in attempts])
        for key, _ in attempts:
            self._stop(self.world.records[key])

    def _record(
        self, events: Sequence[ev.Event], decision: Decision | None = None, memory: Memory | None = None
    ) -> None:
        if not events and decision is None:
            return
        commit = Commit(
            events=tuple(events),
            actor=ACTOR,
            at_s=self.ports.clock.now_s(),
            epoch=self.epoch,
            if_seq=self.world.seq,
            decision=decision,
            memory=memory,
        )
        entries = self.ports.store.commit(commit)
        for entry in entries:
            self.world.fold(entry)
            log.info(type(entry.event).__name__, **_fields(entry.event))
        self._take_in(entries)

    def _take_in(self, entries: Sequence[ev.Entry]) -> None:
        keys = dict.fromkeys(key for entry in entries if (key := getattr(entry.event, "key", None)))
        self.state.apply(self.world.records[key] for key in keys)
        if any(isinstance(entry.event, ev.FleetEvent) for entry in entries):
            self._count_nodes()  # who changes nodes and then asks for them is told of the change

    def _act_on(self, findings: Findings) -> None:
        engine = self.ports.engine
        for record in findings.relaunch:
            self._launch(self.world.records[record.key])
        for record in (self.world.records[key] for key in self._to_stop(findings)):
            self._stop(record)
        for key, number in findings.forget:
            engine.forget(key, number)
        for key, number in findings.strays:
            engine.stop(key, number, EndCause.STOPPED, 0.0)

    def _to_stop(self, findings: Findings) -> list[str]:
        begun = [event.key for event in findings.events if isinstance(event, ev.StopBegun)]
        return [*(record.key for record in findings.stop), *begun]

    def _act(self, action: Place | Stop | WarnIdle | AddNodes | RemoveNode) -> None:
        nodes = self.ports.nodes
        match action:
            case Place():
                self._launch(self.world.records[action.key])
            case Stop():
                self._stop(self.world.records[action.key])
            case WarnIdle():
                log.warning(
                    "idle", workload=action.key, used_fraction=action.used_fraction, idle_s=action.idle_s
                )
            case AddNodes() if nodes is not None and self.world.fleet and self.world.fleet.scaling:
                template = self.world.fleet.scaling.template
                nodes.add([msgspec.structs.replace(template, name=name) for name in action.names])
            case RemoveNode() if nodes is not None:
                nodes.remove(action.name)
            case _:
                log.warning("the fleet cannot grow or shrink here", action=msgspec.to_builtins(action))

    def _launch(self, record: Record) -> None:
        if record.status is Status.STARTING:
            reach = self.front.reach(record, self.seen) if self.front is not None else None
            self.ports.engine.start(launch_of(record, self.world, self._home, self._programs(record), reach))

    def _stop(self, record: Record) -> None:
        attempt = record.attempt
        if attempt is None or attempt.stop_cause is None:
            return
        # a replica ends once it has answered what it was asked; until then every cycle comes back to it
        if self.front is None or self.front.is_done_with(record, self.ports.clock.now_s()):
            self.ports.engine.stop(record.key, attempt.number, attempt.stop_cause, record.workload.grace_s)

    def _note(self, error: SuanliError) -> None:
        if self.trouble is None or self.trouble.sentence != error.sentence:
            log.warning("holding", code=error.code, sentence=error.sentence, evidence=error.evidence)
        self.trouble = error


def _tokens(decision: Decision) -> dict[str, str]:
    return {key: decision.reasons[i].token for key, i in decision.waiting.items()}


def _held(record: Record | None) -> float:
    """Devices held, or cores where none are."""
    if record is None or record.attempt is None:
        return 0.0
    shares = [placement.share for placement in record.attempt.placements]
    return sum(share.accelerator_count for share in shares) or sum(share.cpus for share in shares)


def _fields(event: ev.Event) -> dict[str, object]:
    fields = msgspec.to_builtins(event)
    for verbose in ("workload", "fleet", "type"):
        fields.pop(verbose, None)
    return fields
