"""The kernel in a loop on a virtual clock, without controller or engine: for what only shows over many steps."""

import numpy as np

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory, Place
from suanli.domain.fleet import Fleet
from suanli.domain.record import Attempt, Record, Status
from suanli.domain.transition import apply
from suanli.domain.workload import EndCause, Kind, Workload
from suanli.kernel.invariants import violations
from suanli.kernel.outcome import events_of
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.registry import parse


class Cluster:
    """What is placed starts with the next tick, runs until its `duration_s` of saved work is done, and saves every
    `checkpoint_every_s`; what is stopped leaves after its `grace_s`. Every decision is held to the invariants."""

    def __init__(self, fleet: Fleet, policy: str = "priority+best-fit") -> None:
        self.now_s = 0.0
        self.seq = 0
        self.state = State(fleet)
        self.memory = Memory()
        self.policy = parse(policy)
        self.decision = Decision(policy="", at_s=0.0)
        self.starts: list[tuple[float, str]] = []
        self.stops: list[tuple[float, str, str]] = []

    def submit(self, *workloads: Workload) -> None:
        for workload in workloads:
            self._happens(ev.Submitted(key=workload.name, workload=workload))

    def request_stop(self, key: str) -> None:
        self._happens(ev.StopRequested(key=key))

    def record(self, key: str) -> Record:
        return self.state.records[key]

    def status(self, key: str) -> Status:
        return self.state.records[key].status

    def tick(self, seconds: float = 1.0) -> Decision:
        self.now_s += seconds
        for record in list(self.state.live.values()):
            assert record.attempt is not None
            self._goes_on(record, record.attempt)
        self.decision, self.memory = step(
            self.state, self.policy, self.memory, self.now_s, np.random.default_rng(self.seq)
        )
        assert violations(self.state, self.decision) == ()
        for event in events_of(self.decision):
            if isinstance(event, ev.StopBegun):
                self.stops.append((self.now_s, event.key, event.stopped_for))
            self._happens(event)
        self.starts += [(self.now_s, a.key) for a in self.decision.actions if isinstance(a, Place)]
        return self.decision

    def run(self, seconds: float, every_s: float = 1.0) -> None:
        for _ in range(round(seconds / every_s)):
            self.tick(every_s)

    def _goes_on(self, record: Record, attempt: Attempt) -> None:
        key, number, w = record.key, attempt.number, record.workload
        if attempt.stopping_s is not None:
            if self.now_s - attempt.stopping_s >= w.grace_s:
                self._happens(ev.Ended(key=key, number=number, cause=attempt.stop_cause or EndCause.STOPPED))
        elif record.stop_requested:
            self._happens(ev.StopBegun(key=key, number=number, cause=EndCause.STOPPED))
        elif attempt.started_s is None:
            self._happens(ev.Started(key=key, number=number))
        elif w.kind is not Kind.SERVE and self.now_s - attempt.started_s >= self._left_s(record):
            self._happens(ev.Ended(key=key, number=number, cause=EndCause.SUCCEEDED))
        elif w.checkpoint_every_s and record.unsaved_s(self.now_s) >= w.checkpoint_every_s:
            self._happens(ev.Checkpointed(key=key, number=number, step=int(self.now_s)))

    def _left_s(self, record: Record) -> float:
        return (record.workload.duration_s or 60.0) - (record.run_s - record.lost_s)

    def _happens(self, event: ev.WorkloadEvent) -> None:
        self.seq += 1
        entry = ev.Entry(seq=self.seq, at_s=self.now_s, actor="test", event=event)
        self.state.apply([apply(self.state.records.get(event.key), entry)])
