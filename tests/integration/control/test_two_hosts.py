"""A second host: the gateway here asks a replica there, which answers nobody else. Its link is cut: its worker is dead
before the job goes on here; once healed, it is used again."""

import hashlib
import http.client
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import hosts
from gangs import COUNTER, controller, submit, until

from suanli.control.controller import Controller
from suanli.control.front import Front, own_addresses
from suanli.control.gateway import Door, GatewayProcess
from suanli.control.reach import Reaching, secret_in
from suanli.domain.events import Ended, Placed, ServiceEnded
from suanli.domain.fleet import Fleet, Node
from suanli.domain.observation import AttemptView, Phase
from suanli.domain.record import Status
from suanli.domain.resources import Demand
from suanli.domain.workload import EndCause, Kind, Service, Workload
from suanli.engine.messages import Timing
from suanli.engine.ray.cluster import ClusterHandle, start_or_adopt, stop
from suanli.engine.ray.nodes import RayNodes
from suanli.engine.shim import boottime_s
from suanli.ports.store import Commit
from suanli.serving.gateway.routes import Key, Routes
from suanli.serving.gateway.routes_file import ROUTES_FILE

HERE = Node(name="host-a", cpus=1.5, memory_bytes=4 * 2**30)
THERE = Node(name="host-b", cpus=1.0, memory_bytes=4 * 2**30)
"""The tighter fit for one core: work goes there while it is up."""
FLEET = Fleet(name="two-hosts", nodes=(HERE, THERE))
STEPS = 150
NOTICED_S_MAX = 3.5

SECRET = "sk-suanli-two-hosts"
KEY = Key(name="test", digest=hashlib.sha256(SECRET.encode()).hexdigest())
ECHO = """
class Echo:
    def load(self, model_dir):
        pass

    def infer(self, inputs):
        return inputs
"""

Property = Callable[[str, object], None]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterHandle]:
    """The test itself is on host a meanwhile, where the head is."""
    try:
        with hosts.two_hosts(), hosts.inside("a"):
            handle = start_or_adopt(tmp_path / "ray", HERE, host=hosts.ADDRESSES["a"])
            try:
                yield handle
            finally:
                stop(handle)
    except hosts.NoNamespaces as why:
        pytest.skip(f"two hosts need network namespaces: {why}")


@pytest.mark.timeout(120)
def test_a_job_leaves_a_host_that_was_cut_off_only_once_it_is_dead_there_and_the_host_is_used_again_when_healed(
    tmp_path: Path, cluster: ClusterHandle, record_property: Property
) -> None:
    second_host = RayNodes(cluster, hosts.launcher("b"))
    second_host.add([THERE])
    front = Front(tmp_path / "gateway", lambda: (KEY,), Reaching(own_addresses(), secret_in(tmp_path)))
    with controller(tmp_path, cluster, FLEET, front) as running:
        until(lambda: _living(running) == {"host-a", "host-b"}, 60)
        _serves_there(running, tmp_path)
        submit(running, _counting("job", STEPS))
        until(lambda: _step(running, "job") >= 5, 30)
        before = _view(running, "job")
        assert before is not None
        assert before.workers[0].node == "host-b"
        hosts.cut("b")
        cut = _Cut(running, before)
        until(cut.is_over, 30)
        hosts.heal("b")
        until(lambda: not second_host.names(), 30)  # told that it is held for dead, Ray's node there ends
        second_host.add([THERE])
        until(lambda: _living(running) == {"host-a", "host-b"}, 60)
        submit(running, _counting("later", 5))
        until(lambda: _succeeded(running) == {"job", "later"}, 60)
        events = [entry.event for entry in running.ports.store.entries(0)]
    cut.report(record_property)
    assert cut.lost_s <= NOTICED_S_MAX
    assert cut.dead_s <= Timing().fence_s + Timing().kill_s
    assert cut.dead_s <= cut.again_s
    ends = [event.cause for event in events if isinstance(event, Ended) and event.key == "job"]
    assert ends == [EndCause.NODE_LOST, EndCause.SUCCEEDED]
    places = [(event.key, event.placements[0].node) for event in events if isinstance(event, Placed)]
    assert places == [("echo/0", "host-b"), ("job", "host-b"), ("job", "host-a"), ("later", "host-b")]
    assert list(tmp_path.rglob("overlap-*")) == []
    (log,) = tmp_path.glob("outputs/job-*/steps-0")
    steps = [int(line.split()[1]) for line in log.read_text().splitlines()]
    assert steps == sorted(set(steps)), "a step was committed twice"
    assert steps[-1] == STEPS


def _serves_there(running: Controller, folder: Path) -> None:
    """A replica on host b answers the gateway on host a, and nobody without the token; then the service ends."""
    model = folder / "model"
    model.mkdir()
    (model / "echo.py").write_text(ECHO)
    submit(running, _service(model))
    gateway = GatewayProcess(folder / "gateway", Door(port=0), folder / "gateway.log")
    try:
        until(lambda: _targets(folder), 60)
        ((host, port, token),) = _targets(folder)
        assert host == hosts.ADDRESSES["b"]
        until(lambda: gateway.ensure(time.monotonic()) or gateway.running(), 60)
        ours = gateway.running()
        assert ours is not None
        until(lambda: _asked("127.0.0.1", ours.port, "/services/echo/predict", SECRET)[0] == 200, 60)
        _, said = _asked("127.0.0.1", ours.port, "/services/echo/predict", SECRET)
        assert msgspec.json.decode(said)["outputs"] == ["hello"]
        assert _asked(host, port, "/predict", SECRET)[0] == 401
        assert _asked(host, port, "/predict", token)[0] == 200
        with hosts.inside("b"), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
    finally:
        gateway.end()
    running.ports.store.commit(Commit(events=(ServiceEnded(service="echo"),), actor="t", at_s=time.time()))
    until(lambda: running.world.records["echo/0"].status is Status.STOPPED, 60)


def _targets(folder: Path) -> set[tuple[str, int, str]]:
    """Where the routes that were written send requests, and what is shown there."""
    file = folder / "gateway" / ROUTES_FILE
    routes = msgspec.json.decode(file.read_bytes(), type=Routes) if file.exists() else Routes(version=0)
    revisions = (revision for route in routes.routes for revision in route.revisions)
    return {(t.host, t.port, t.token) for revision in revisions for t in revision.targets}


def _asked(host: str, port: int, path: str, secret: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        body, head = b'{"inputs": ["hello"]}', {"Authorization": f"Bearer {secret}"}
        connection.request("POST", path, body, head)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _service(model: Path) -> Workload:
    words = ("--runtime", "python", "--name", "echo", "--code", "echo:Echo", "--model-dir", str(model))
    return Workload(
        name="echo",
        kind=Kind.SERVE,
        run=(sys.executable, "-m", "suanli.serving.runtime", *words),
        demand=Demand(cpus=1.0, memory_bytes=2**29),
        workdir=str(model),
        service=Service(health_path="/readyz", drain_s=0.0),
    )


class _Cut:
    """What is seen, and after how many seconds, of an attempt whose host has just been cut off."""

    def __init__(self, running: Controller, before: AttemptView) -> None:
        assert before.workers[0].pid is not None
        self.lost_s = math.inf  # the engine says that it is lost
        self.dead_s = math.inf  # its process is gone from the other host
        self.again_s = math.inf  # the process of the next attempt was made
        self._running, self._key, self._pid = running, before.key, before.workers[0].pid
        self._at_s = boottime_s()

    def is_over(self) -> bool:
        view, passed_s = _view(self._running, self._key), boottime_s() - self._at_s
        if not _is_alive(self._pid):
            self.dead_s = min(self.dead_s, passed_s)
        if view is not None and view.phase is Phase.LOST:
            self.lost_s = min(self.lost_s, passed_s)
        if view is not None and view.number == 2 and view.workers[0].pid is not None:
            self.again_s = _started_s(view.workers[0].pid) - self._at_s
        return self.again_s < math.inf

    def report(self, record_property: Property) -> None:
        record_property("cut_to_lost_s", round(self.lost_s, 2))
        record_property("cut_to_dead_s", round(self.dead_s, 2))
        record_property("cut_to_again_s", round(self.again_s, 2))


def _counting(name: str, steps: int) -> Workload:
    return Workload(
        name=name,
        kind=Kind.TRAIN,
        run=(sys.executable, str(COUNTER)),
        demand=Demand(cpus=1.0, memory_bytes=2**28),
        env={"SUANLI_TEST_STEPS": str(steps)},
        workdir=str(COUNTER.parent),
        grace_s=3.0,
    )


def _view(running: Controller, key: str) -> AttemptView | None:
    return next((view for view in running.seen.attempts if view.key == key), None)


def _step(running: Controller, key: str) -> int:
    view = _view(running, key)
    return view.progress.step if view and view.progress else 0


def _living(running: Controller) -> set[str]:
    return {node.name for node in running.seen.nodes if node.alive}


def _succeeded(running: Controller) -> set[str]:
    return {key for key, record in running.world.records.items() if record.status is Status.SUCCEEDED}


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _started_s(pid: int) -> float:
    """On the clock of `boottime_s`; the kernel rounds it down to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
