"""Every effect of a day's work is a place to die: before it, after it, or with its acknowledgement lost.

The points are enumerated, not sampled: a scenario is run once to count its effects, then once more for each effect
and way of dying. Whatever happens, what was accepted ends as it should, and never has two live attempts.
"""

from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import structlog

from suanli.control.controller import Controller, Ports
from suanli.domain import events as ev
from suanli.domain.errors import Conflict, Unavailable
from suanli.domain.fleet import Node
from suanli.domain.record import Status
from suanli.domain.resources import Demand
from suanli.domain.workload import Kind, Workload
from suanli.domain.world import World
from suanli.ports.clock import VirtualClock
from suanli.ports.engine import Engine
from suanli.ports.fake_engine import FakeEngine
from suanli.ports.memory_store import MemoryStore
from suanli.ports.scripted_telemetry import ScriptedTelemetry
from suanli.ports.store import Commit, Idempotency, Store

POINTS_MIN = 10_000
SEEDS = 114
MODES = ("before", "after", "unacknowledged")
CYCLES_MAX = 60


class Killed(BaseException):
    """The controller's process is gone; nothing in it may catch this."""


class Tripwire:
    """Counts effects and dies at one of them."""

    def __init__(self, at: int = -1, mode: str = "before") -> None:
        self.count = 0
        self.at = at
        self.mode = mode

    def effect(self, do: Any, *args: Any, **kwargs: Any) -> Any:
        mine, self.count = self.count, self.count + 1
        if mine != self.at:
            return do(*args, **kwargs)
        if self.mode == "before":
            raise Killed
        result = do(*args, **kwargs)
        if self.mode == "after":
            raise Killed
        raise Unavailable(
            "The answer was lost on its way.", evidence={"effect": str(do), "result": str(result)}
        )


class Wired:
    """A port whose verbs that change something pass the tripwire."""

    def __init__(self, inner: Any, wire: Tripwire, verbs: tuple[str, ...]) -> None:
        self._inner, self._wire, self._verbs = inner, wire, verbs

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._inner, name)
        if name in self._verbs:
            return lambda *args, **kwargs: self._wire.effect(verb, *args, **kwargs)
        return verb


class Day:
    """A small fleet, a few workloads, a user who retries until acknowledged, and what goes wrong by itself."""

    def __init__(self, seed: int, wire: Tripwire) -> None:
        rng = np.random.default_rng(seed)
        self.clock = VirtualClock(1000.0)
        nodes = [Node(name=f"n{i}", cpus=2, memory_bytes=2**33) for i in range(int(rng.integers(2, 4)))]
        self.engine = FakeEngine(self.clock, nodes, start_s=0.5, fence_s=2.0, wind_down_s=1.0)
        self.store = MemoryStore()
        self.wire = wire
        self.todo = _script(rng, len(nodes))
        self.accepted: set[str] = set()
        self.stopped: set[str] = set()
        self.controllers = 0
        self.restart()

    def restart(self) -> None:
        """A new process of the controller; the former one's memory is gone."""
        self.controllers += 1
        ports = Ports(
            cast(Store, Wired(self.store, self.wire, ("commit", "acquire_lease", "renew_lease"))),
            cast(Engine, Wired(self.engine, self.wire, ("start", "stop", "forget"))),
            self.clock,
            ScriptedTelemetry(),
        )
        self.controller = Controller(ports, holder="controller", home=Path("home"))

    def run(self) -> int:
        """Until all is final; the number of cycles, or CYCLES_MAX where it never was."""
        for cycle in range(CYCLES_MAX):
            try:
                self._user_acts(cycle)
                self.controller.cycle()
            except Killed:
                self.restart()
            if not self.todo and self._all_final():
                return cycle
            self.clock.advance(1.0)
        return CYCLES_MAX

    def _user_acts(self, cycle: int) -> None:
        while self.todo and self.todo[0][0] <= cycle:
            _, verb, what = self.todo[0]
            if verb == "lose":
                self.engine.lose_node(what)
            elif verb == "return":
                self.engine.return_node(what)
            elif not self._request(verb, what):
                return
            self.todo.pop(0)

    def _request(self, verb: str, what: Any) -> bool:
        """True once acknowledged, or refused for good."""
        if verb == "submit":
            event: ev.Event = ev.Submitted(key=what.name, workload=what)
            key = f"submit {what.name}"
        else:
            event, key = ev.StopRequested(key=what), f"stop {what}"
        commit = Commit(
            events=(event,),
            actor="user",
            at_s=self.clock.now_s(),
            idempotency=Idempotency(key=key, digest=key),
        )
        try:
            self.controller.ports.store.commit(commit)
        except Conflict:
            return True  # it ended before it could be stopped
        except Unavailable:
            return False
        (self.accepted if verb == "submit" else self.stopped).add(what.name if verb == "submit" else what)
        return True

    def _all_final(self) -> bool:
        return all(record.status.is_final for record in self.store.world().records.values())

    def check(self) -> list[str]:
        """What is wrong with how it ended."""
        world = self.store.world()
        wrong = [f"{key} was accepted and lost" for key in self.accepted if key not in world.records]
        for key, record in world.records.items():
            allowed = (Status.STOPPED, Status.SUCCEEDED) if key in self.stopped else (Status.SUCCEEDED,)
            if record.status not in allowed:
                wrong.append(f"{key} is {record.status}")
        wrong += _overlaps(self.engine)
        fold = World()
        for entry in self.store.entries(0):
            fold.fold(entry)
        if fold.records != world.records:
            wrong.append("the projection is not the fold of the log")
        return wrong


def _script(rng: np.random.Generator, nodes: int) -> list[tuple[int, str, Any]]:
    def workload(i: int) -> Workload:
        gang = int(rng.integers(1, nodes + 1)) if i == 0 else 1
        return Workload(
            name=f"w{i}",
            kind=Kind.TRAIN,
            run=("train",),
            nodes=gang,
            demand=Demand(cpus=float(rng.integers(1, 3))),
            priority=int(rng.choice([20, 50, 80])),
            duration_s=float(rng.integers(2, 5)),
            checkpoint_every_s=1.0,
            grace_s=2.0,
        )

    script: list[tuple[int, str, Any]] = [(int(rng.integers(0, 4)), "submit", workload(i)) for i in range(4)]
    if rng.random() < 0.5:
        script.append((int(rng.integers(4, 7)), "stop", "w1"))
    if rng.random() < 0.5:
        lost = int(rng.integers(2, 5))
        script += [(lost, "lose", "n0"), (lost + 4, "return", "n0")]
    return sorted(script, key=lambda step: step[0])


def _overlaps(engine: FakeEngine) -> list[str]:
    lives: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for life in engine.history:
        lives[life.key].append((life.from_s, life.to_s, life.number))
    wrong = [f"{key} attempt {number} was fenced while live" for key, number in engine.fenced]
    for key, spans in lives.items():
        spans.sort()
        for (_, to_s, a), (from_s, _, b) in pairwise(spans):
            if from_s < to_s or a == b:
                wrong.append(f"{key}: attempts {a} and {b} overlap")
    return wrong


def _die_everywhere(seed: int) -> tuple[int, list[Any]]:
    """All crash points of one day: how many, and what went wrong at which."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    wire = Tripwire()
    day = Day(seed, wire)
    wrong = ["never ended"] if day.run() == CYCLES_MAX else day.check()
    failures: list[Any] = [(seed, "no crash", wrong)] if wrong else []
    points = [(at, mode) for at in range(wire.count) for mode in MODES]
    for at, mode in points:
        trial = Day(seed, Tripwire(at, mode))
        wrong = ["never ended"] if trial.run() == CYCLES_MAX else trial.check()
        if wrong:
            failures.append((seed, at, mode, wrong))
    return len(points), failures


@pytest.mark.timeout(600)
def test_no_crash_point_loses_a_workload_or_runs_it_twice(record_property: Any) -> None:
    with ProcessPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(_die_everywhere, range(SEEDS), chunksize=4))
    points = sum(count for count, _ in results)
    failures = [failure for _, found in results for failure in found]
    record_property("crash_points", points)
    assert failures[:5] == []
    assert points >= POINTS_MIN
