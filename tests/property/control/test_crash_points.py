"""Every effect of a day's work is a place to die: before it, after it, or with its acknowledgement lost.

The points are enumerated, not sampled: a scenario is run once to find its effects, then once more for each effect
and way of dying. Whatever happens, what was accepted ends as it should, and never has two live attempts.
"""

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
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


class Outside:
    """What a controller's death leaves as it is: time, machines, the store, and a user who retries until answered."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.clock = VirtualClock(1000.0)
        nodes = [Node(name=f"n{i}", cpus=2, memory_bytes=2**33) for i in range(int(rng.integers(2, 4)))]
        self.engine = FakeEngine(self.clock, nodes, start_s=0.5, fence_s=2.0, wind_down_s=1.0)
        self.store = MemoryStore()
        self.todo = _script(rng, len(nodes))
        self.accepted: set[str] = set()
        self.stopped: set[str] = set()
        self.cycle = 0
        self.effects = 0

    def copy(self) -> "Outside":
        return deepcopy(self, {id(self.store): self.store.clone()})

    def instant(self) -> tuple[int, int, int]:
        """Equal only if nothing has happened in between: the rest is done by effects, cycles and the script alone."""
        return self.effects, self.cycle, len(self.todo)


class Wired:
    """A port whose verbs that change something pass `effect`."""

    def __init__(self, inner: Any, verbs: tuple[str, ...], effect: Callable[..., Any]) -> None:
        self._inner, self._verbs, self._effect = inner, verbs, effect

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._inner, name)
        if name in self._verbs:
            return lambda *args, **kwargs: self._effect(verb, *args, **kwargs)
        return verb


class Day:
    """A small fleet, a few workloads, a controller that knows nothing yet, and what goes wrong by itself.

    Before and after each effect `witness` is called; the answer of the effect `lost` gets lost on its way.
    """

    def __init__(
        self, outside: Outside, *, witness: Callable[[], None] = lambda: None, lost: int = -1
    ) -> None:
        self.outside = outside
        self._witness = witness
        self._lost = lost
        ports = Ports(
            cast(Store, Wired(outside.store, ("commit", "acquire_lease", "renew_lease"), self._effect)),
            cast(Engine, Wired(outside.engine, ("start", "stop", "forget"), self._effect)),
            outside.clock,
            ScriptedTelemetry(),
        )
        self.controller = Controller(ports, holder="controller", home=Path("home"))

    def run(self) -> list[str]:
        """From the first cycle until all is final: what is wrong with how it ended."""
        self._cycle()
        return self.run_on()

    def run_on(self) -> list[str]:
        """The same from the end of a cycle on."""
        while self.outside.todo or not self._all_final():
            if self.outside.cycle == CYCLES_MAX:
                return ["never ended"]
            self.outside.clock.advance(1.0)
            self.outside.cycle += 1
            self._cycle()
        return self._wrongs()

    def _effect(self, do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._witness()
        mine, self.outside.effects = self.outside.effects, self.outside.effects + 1
        result = do(*args, **kwargs)
        self._witness()
        if mine == self._lost:
            raise Unavailable(
                "The answer was lost on its way.", evidence={"effect": str(do), "result": str(result)}
            )
        return result

    def _cycle(self) -> None:
        self._user_acts()
        self.controller.cycle()

    def _user_acts(self) -> None:
        todo, engine = self.outside.todo, self.outside.engine
        while todo and todo[0][0] <= self.outside.cycle:
            _, verb, what = todo[0]
            if verb == "lose":
                engine.lose_node(what)
            elif verb == "return":
                engine.return_node(what)
            elif not self._request(verb, what):
                return
            todo.pop(0)

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
            at_s=self.outside.clock.now_s(),
            idempotency=Idempotency(key=key, digest=key),
        )
        try:
            self.controller.ports.store.commit(commit)
        except Conflict:
            return True  # it ended before it could be stopped
        except Unavailable:
            return False
        if verb == "submit":
            self.outside.accepted.add(what.name)
        else:
            self.outside.stopped.add(what)
        return True

    def _all_final(self) -> bool:
        return all(record.status.is_final for record in self.outside.store.world().records.values())

    def _wrongs(self) -> list[str]:
        world = self.outside.store.world()
        wrong = [f"{key} was accepted and lost" for key in self.outside.accepted - world.records.keys()]
        for key, record in world.records.items():
            stopped = key in self.outside.stopped
            allowed = (Status.STOPPED, Status.SUCCEEDED) if stopped else (Status.SUCCEEDED,)
            if record.status not in allowed:
                wrong.append(f"{key} is {record.status}")
        wrong += _overlaps(self.outside.engine)
        fold = World()
        for entry in self.outside.store.entries(0):
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
    """All crash points of one day: how many, and what went wrong at which.

    A death leaves the outside as it is at that instant, so a new controller goes on from a copy of it. Dying after an
    effect and before the next one leaves the same if nothing lies between: that is played once.
    """
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    left: dict[tuple[int, int, int], Outside] = {}
    outside = Outside(seed)

    def witness() -> None:
        if outside.instant() not in left:
            left[outside.instant()] = outside.copy()

    outcomes: dict[tuple[object, ...], list[str]] = {(seed, "no crash"): Day(outside, witness=witness).run()}
    for instant, then in left.items():
        outcomes[seed, "died", *instant] = Day(then).run_on()
    for effect in range(outside.effects):
        outcomes[seed, "unacknowledged", effect] = Day(Outside(seed), lost=effect).run()
    return len(MODES) * outside.effects, [(point, wrong) for point, wrong in outcomes.items() if wrong]


@pytest.mark.timeout(600)
def test_no_crash_point_loses_a_workload_or_runs_it_twice(record_property: Any) -> None:
    with ProcessPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(_die_everywhere, range(SEEDS), chunksize=4))
    points = sum(count for count, _ in results)
    failures = [failure for _, found in results for failure in found]
    record_property("crash_points", points)
    assert failures[:5] == []
    assert points >= POINTS_MIN
