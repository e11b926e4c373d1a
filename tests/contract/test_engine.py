"""What every engine keeps: the fake, on which all else is tried, and the real one answer the same questions alike."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests import ray_clusters as real

from suanli.domain.fleet import Node
from suanli.domain.observation import AttemptView, Launch, Observation, Phase
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause, Kind, Service, Workload
from suanli.ports.clock import VirtualClock
from suanli.ports.engine import Engine, Nodes
from suanli.ports.fake_engine import FakeEngine, FakeNodes

pytestmark = pytest.mark.timeout(300)  # the first test pays for the cluster

NODES = ("head", "n1")
GIB = 2**30
STEPS_MAX = 1_000

FOREVER, BRIEF, FAILING, STUBBORN, SERVER = "forever", "brief", "failing", "stubborn", "server"
PROGRAMS = {
    FOREVER: """
import json, os, signal, sys, time
def save(*_):
    report = {"step": 5, "checkpoint_step": 5, "checkpoint_s": time.time(), "at_s": time.time()}
    open(os.environ["SUANLI_PROGRESS_FILE"], "w").write(json.dumps(report))
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("hello", flush=True)
time.sleep(600)
""",
    BRIEF: "print('hello')",
    FAILING: "import sys; sys.exit(3)",
    STUBBORN: "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
    SERVER: """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
""",
}


class Fake:
    """Time passes by being asked to."""

    def __init__(self) -> None:
        self.clock = VirtualClock(1_000.0)
        nodes = [Node(name=name, cpus=2, memory_bytes=4 * GIB) for name in NODES]
        self._fake = FakeEngine(self.clock, nodes, work=self._work, fence_s=3.0)
        self.engine: Engine = self._fake
        self.nodes: Nodes = FakeNodes(self._fake, self.clock, arrive_s=1.0)

    def start(self, launch: Launch) -> None:
        self.engine.start(launch)
        self._fake.logs[launch.key, launch.number, 0] = b"hello\n"

    def wait(self, what: Callable[[Observation], object]) -> Observation:
        for _ in range(STEPS_MAX):
            seen = self.engine.observe()
            for view in seen.attempts:
                failing = view.key.startswith(FAILING) and view.phase is Phase.RUNNING
                if failing:
                    self._fake.fail_attempt(view.key, 3)
            if what(seen):
                return seen
            self.clock.advance(0.1)
        raise AssertionError(f"never: {self.engine.observe()}")

    @contextmanager
    def another_controller(self) -> Iterator[Engine]:
        yield self.engine

    @staticmethod
    def _work(launch: Launch) -> float:
        return 1.0 if launch.key.startswith(BRIEF) else 600.0


class Real:
    """Time passes by itself."""

    def __init__(self, cluster: real.Cluster) -> None:
        self._cluster = cluster
        self.engine: Engine = cluster.engine
        self.nodes: Nodes = cluster.nodes

    def start(self, launch: Launch) -> None:
        self.engine.start(launch)

    def wait(self, what: Callable[[Observation], object]) -> Observation:
        def met() -> Observation | None:
            seen = self.engine.observe()
            return seen if what(seen) else None

        return real.wait_for(met)

    @contextmanager
    def another_controller(self) -> Iterator[Engine]:
        with real.engine_on(self._cluster.handle) as engine:
            yield engine


World = Fake | Real


@pytest.fixture(params=["fake", "ray"])
def world(request: pytest.FixtureRequest) -> World:
    return Fake() if request.param == "fake" else Real(real.shared_cluster(request.config))


_keys: dict[str, int] = {}


def fresh(program: str) -> str:
    """A key never used before, for numbers fence for good."""
    _keys[program] = _keys.get(program, 0) + 1
    return f"{program}-{_keys[program]}"


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Launch]:
    def make(
        key: str, number: int = 1, nodes: tuple[str, ...] = ("head",), kind: Kind = Kind.TRAIN
    ) -> Launch:
        program = key.partition("-")[0]
        return Launch(
            key=key,
            number=number,
            workload=Workload(
                name=key,
                kind=kind,
                run=(sys.executable, "-I", "-S", "-c", PROGRAMS[program]),
                nodes=len(nodes),
                service=Service() if kind is Kind.SERVE else None,
            ),
            placements=tuple(Placement(node, Share(cpus=0.1)) for node in nodes),
            output_dir=str(tmp_path / "out"),
            log_dir=str(tmp_path / "log"),
        )

    return make


Make = Callable[..., Launch]


def find(seen: Observation, key: str, number: int = 1) -> AttemptView:
    return next(view for view in seen.attempts if (view.key, view.number) == (key, number))


def reach(world: World, key: str, phase: Phase, number: int = 1) -> AttemptView:
    def reached(seen: Observation) -> bool:
        return any((view.key, view.number, view.phase) == (key, number, phase) for view in seen.attempts)

    return find(world.wait(reached), key, number)


def test_nodes_are_seen_by_name_with_what_they_have(world: World) -> None:
    nodes = {node.name: node for node in world.engine.observe().nodes}
    assert set(nodes) >= set(NODES)
    assert all(nodes[name].alive and nodes[name].seen.cpus == 2 for name in NODES)


def test_an_attempt_is_seen_as_soon_as_it_was_started_then_runs_and_succeeds(
    world: World, launch: Make
) -> None:
    key = fresh(BRIEF)
    world.start(launch(key))
    assert find(world.engine.observe(), key).phase in (Phase.CREATING, Phase.RUNNING)
    view = reach(world, key, Phase.ENDED)
    assert (view.cause, view.exit_code) == (EndCause.SUCCEEDED, 0)
    assert [(worker.rank, worker.node, worker.alive) for worker in view.workers] == [(0, "head", False)]


def test_starting_twice_is_starting_once(world: World, launch: Make) -> None:
    key = fresh(FOREVER)
    world.start(launch(key))
    view = reach(world, key, Phase.RUNNING)
    world.start(launch(key))
    assert [(v.key, v.workers[0].pid) for v in world.engine.observe().attempts] == [
        (key, view.workers[0].pid)
    ]


def test_a_number_that_was_overtaken_never_starts_even_when_all_is_forgotten(
    world: World, launch: Make
) -> None:
    key = fresh(BRIEF)
    world.start(launch(key, 2))
    reach(world, key, Phase.ENDED, 2)
    world.engine.forget(key, 2)
    world.start(launch(key, 1))
    world.start(launch(key, 2))
    assert world.engine.observe().attempts == ()


def test_a_later_attempt_ends_the_earlier_one_and_runs_after_it(world: World, launch: Make) -> None:
    key = fresh(FOREVER)
    world.start(launch(key, 1))
    reach(world, key, Phase.RUNNING, 1)
    world.start(launch(key, 2))
    seen = world.wait(lambda seen: find(seen, key, 2).phase is Phase.RUNNING)
    assert find(seen, key, 1).phase is Phase.ENDED
    assert find(seen, key, 1).detail == "attempt 2 was started"


def test_a_program_that_fails_is_told_by_its_exit_code(world: World, launch: Make) -> None:
    key = fresh(FAILING)
    world.start(launch(key))
    view = reach(world, key, Phase.ENDED)
    assert (view.cause, view.exit_code) == (EndCause.FAILED, 3)


def test_a_stopped_attempt_may_save_its_work_and_ends_with_the_first_cause(
    world: World, launch: Make
) -> None:
    key = fresh(FOREVER)
    world.start(launch(key))
    reach(world, key, Phase.RUNNING)
    world.wait(lambda _: world.engine.read_log(key, 1, 0, 0))
    world.engine.stop(key, 1, EndCause.PREEMPTED, 5.0)
    world.engine.stop(key, 1, EndCause.DRAINED, 5.0)
    view = reach(world, key, Phase.ENDED)
    assert view.cause is EndCause.PREEMPTED
    assert view.progress is not None
    assert view.progress.checkpoint_step is not None


def test_the_grace_is_all_that_a_stubborn_program_gets(world: World, launch: Make) -> None:
    key = fresh(STUBBORN)
    world.start(launch(key))
    reach(world, key, Phase.RUNNING)
    world.engine.stop(key, 1, EndCause.STOPPED, 0.2)
    assert reach(world, key, Phase.ENDED).cause is EndCause.STOPPED


def test_what_is_stopped_before_it_runs_ends_without_having_run(world: World, launch: Make) -> None:
    key = fresh(FOREVER)
    world.start(launch(key))
    world.engine.stop(key, 1, EndCause.STOPPED, 5.0)
    view = reach(world, key, Phase.ENDED)
    assert view.cause is EndCause.STOPPED
    assert view.workers[0].pid is None


def test_stopping_what_does_not_exist_or_has_ended_changes_nothing(world: World, launch: Make) -> None:
    key = fresh(BRIEF)
    world.engine.stop(key, 1, EndCause.STOPPED, 5.0)
    world.start(launch(key))
    before = reach(world, key, Phase.ENDED)
    world.engine.stop(key, 1, EndCause.PREEMPTED, 5.0)
    world.engine.stop(key, 7, EndCause.PREEMPTED, 5.0)
    assert find(world.engine.observe(), key).cause is before.cause


def test_only_what_has_ended_is_forgotten(world: World, launch: Make) -> None:
    key = fresh(FOREVER)
    world.start(launch(key))
    reach(world, key, Phase.RUNNING)
    world.engine.forget(key, 1)
    assert find(world.engine.observe(), key).phase is Phase.RUNNING
    world.engine.stop(key, 1, EndCause.STOPPED, 5.0)
    reach(world, key, Phase.ENDED)
    world.engine.forget(key, 1)
    world.engine.forget(key, 1)
    assert world.engine.observe().attempts == ()


def test_a_gang_has_a_worker_on_each_node_of_its_placements(world: World, launch: Make) -> None:
    key = fresh(FOREVER)
    world.start(launch(key, nodes=("n1", "head")))
    view = reach(world, key, Phase.RUNNING)
    assert [(w.rank, w.node, w.alive) for w in view.workers] == [(0, "n1", True), (1, "head", True)]


def test_a_service_becomes_ready_and_tells_its_port(world: World, launch: Make) -> None:
    key = fresh(SERVER) + "/0"
    world.start(launch(key, kind=Kind.SERVE))
    assert reach(world, key, Phase.READY).port


def test_an_attempt_on_a_node_that_is_gone_ends_as_lost(world: World, launch: Make) -> None:
    key = fresh(BRIEF)
    world.start(launch(key, nodes=("nowhere",)))
    view = reach(world, key, Phase.ENDED)
    assert (view.cause, view.detail) == (EndCause.NODE_LOST, "no living node nowhere")


def test_a_controller_that_comes_later_sees_and_ends_what_runs(world: World, launch: Make) -> None:
    key = fresh(FOREVER)
    world.start(launch(key))
    pid = reach(world, key, Phase.RUNNING).workers[0].pid
    with world.another_controller() as later:
        assert later.observe().incarnation == world.engine.observe().incarnation
        assert find(later.observe(), key).workers[0].pid == pid
        later.stop(key, 1, EndCause.STOPPED, 5.0)
    reach(world, key, Phase.ENDED)


def test_a_log_is_read_from_any_offset_and_is_empty_where_there_is_none(world: World, launch: Make) -> None:
    key = fresh(BRIEF)
    world.start(launch(key))
    reach(world, key, Phase.ENDED)
    assert world.engine.read_log(key, 1, 0, 0) == b"hello\n"
    assert world.engine.read_log(key, 1, 0, 2) == b"llo\n"
    assert world.engine.read_log(key, 1, 0, 6) == b""
    assert world.engine.read_log(key, 1, 1, 0) == b""
    assert world.engine.read_log("nothing", 1, 0, 0) == b""


def test_what_runs_on_a_node_that_is_lost_ends_once_its_death_is_certain(world: World, launch: Make) -> None:
    key = fresh(FOREVER)
    world.nodes.add([Node(name="third", cpus=1, memory_bytes=GIB)])
    world.nodes.add([Node(name="third", cpus=1, memory_bytes=GIB)])
    assert list(world.nodes.names()).count("third") == 1
    world.wait(lambda seen: any(node.name == "third" and node.alive for node in seen.nodes))
    world.start(launch(key, nodes=("third", "head")))
    reach(world, key, Phase.RUNNING)
    world.nodes.remove("third")
    assert "third" not in world.nodes.names()
    reach(world, key, Phase.LOST)
    view = reach(world, key, Phase.ENDED)
    assert (view.cause, view.detail) == (EndCause.NODE_LOST, "node third was lost")
    assert not any(node.name == "third" and node.alive for node in world.engine.observe().nodes)
