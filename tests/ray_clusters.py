"""Real Ray clusters for tests, each in a folder that goes with its test, and how to look at what runs there."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from suanli.domain.fleet import Node
from suanli.domain.observation import AttemptView, Launch, NodeSample, Observation, Phase
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause, Kind, Workload
from suanli.engine.messages import Timing
from suanli.engine.ray.cluster import LOOPBACK, ClusterHandle, start_or_adopt, stop
from suanli.engine.ray.engine import Probe, RayEngine
from suanli.engine.ray.nodes import RayNodes
from suanli.ports.engine import Engine

DEADLINE_S = 200.0
HEAD = Node(name="head", cpus=2, memory_bytes=4 * 2**30)
GPU_NODES = tuple(
    Node(name=name, cpus=2, memory_bytes=2**30, accelerators=("A100-80GB",) * 2)
    for name in ("n1", "n2", "n3", "n4")
)
FAST = Timing(beat_s=0.2, fence_s=4.5, kill_s=0.5, lost_after_s=1.5)
"""Sooner certain of a death than in production, and still twenty heartbeats long, for the tests' machines are busy."""

FAMILY = """
import os, signal, time
def stay():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b"%d\\n" % os.getpid())  # in one piece: three of them write at once
    time.sleep(600)
if os.fork() == 0: stay()
if os.fork() == 0:  # a daemon, as they are made: nobody's child and in a session of its own
    os.setsid()
    if os.fork() == 0: stay()
    os._exit(0)
stay()
"""
"""Three processes that don't want to die."""

_T = TypeVar("_T")


@contextmanager
def embedded(head: Node = HEAD, host: str = LOOPBACK) -> Iterator[ClusterHandle]:
    """A cluster of this test's own, gone with all that runs there when the test is over."""
    folder = Path(tempfile.mkdtemp(prefix="suanli-test-"))
    handle = start_or_adopt(folder, head, host=host)
    try:
        yield handle
    finally:
        stop(handle)
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """A head and four nodes that pretend to have two A100 each. Whoever breaks a node puts another in its place."""

    def __init__(self, handle: ClusterHandle, engine: RayEngine) -> None:
        self.handle = handle
        self.engine = engine
        self.nodes = RayNodes(handle)

    def mend(self) -> None:
        """Have all nodes there, and nothing on them."""
        for view in self.engine.observe().attempts:
            self.engine.stop(view.key, view.number, EndCause.STOPPED, 0.0)
        wait_for(lambda: all(view.phase is Phase.ENDED for view in self.engine.observe().attempts))
        for view in self.engine.observe().attempts:
            self.engine.forget(view.key, view.number)
        self.nodes.add(GPU_NODES)
        wait_nodes(self.engine, "head", *(node.name for node in GPU_NODES))


_shared: list[Cluster] = []


def shared_cluster(config: pytest.Config) -> Cluster:
    """The one that all tests of a session share which leave it as they found it: to start it takes a while."""
    if not _shared:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        handle = stack.enter_context(embedded())
        _shared.append(Cluster(handle, stack.enter_context(engine_on(handle))))
    _shared[0].mend()
    return _shared[0]


@contextmanager
def engine_on(handle: ClusterHandle, probe: Probe | None = None) -> Iterator[RayEngine]:
    engine = RayEngine(handle, probe=probe, timing=FAST)
    try:
        yield engine
    finally:
        engine.close()


def probe(node: str) -> tuple[Node, NodeSample]:
    """What agents measure in these tests."""
    sample = NodeSample(
        node=node, at_s=time.time(), cpu_fraction=0.25, memory_used_bytes=1, disk_used_fraction=0.5
    )
    return Node(name=node, cpus=3.5, memory_bytes=7), sample


def launch(
    key: str,
    number: int,
    folder: Path,
    *run: str,
    nodes: Sequence[str] = ("head",),
    share: Share = Share(cpus=0.1),  # noqa: B008 - frozen
    **more: object,
) -> Launch:
    """An attempt of a job that runs this argv on each of the nodes."""
    fields: dict[str, object] = {"kind": Kind.JOB, "grace_s": 5.0, **more}
    workload = Workload(name=key.partition("/")[0], run=run, nodes=len(nodes), **fields)  # pyright: ignore[reportArgumentType]
    return Launch(
        key=key,
        number=number,
        workload=workload,
        placements=tuple(Placement(node, share) for node in nodes),
        output_dir=str(folder / "out" / key),
        log_dir=str(folder / "log" / key),
    )


def wait_for(what: Callable[[], _T | None], deadline_s: float = DEADLINE_S) -> _T:
    """The first true answer."""
    until_s = time.monotonic() + deadline_s
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < until_s, f"not within {deadline_s:g} s; the last answer was {answer!r}"
        time.sleep(0.02)


def view_of(engine: Engine, key: str, number: int) -> AttemptView | None:
    views = engine.observe().attempts
    return next((view for view in views if (view.key, view.number) == (key, number)), None)


def wait_phase(engine: Engine, key: str, number: int, *phases: Phase) -> AttemptView:
    """The attempt as soon as it is in one of the phases; an unexpected end fails at once."""

    def reached() -> AttemptView | None:
        view = view_of(engine, key, number)
        if view is not None and view.phase is Phase.ENDED and Phase.ENDED not in phases:
            raise AssertionError(f"it ended: {view}")
        return view if view is not None and view.phase in phases else None

    return wait_for(reached)


def wait_nodes(engine: Engine, *names: str) -> Observation:
    """Once all of them are there and alive."""

    def all_there() -> Observation | None:
        seen = engine.observe()
        return seen if set(names) <= {node.name for node in seen.nodes if node.alive} else None

    return wait_for(all_there)


def wait_nodes_gone(engine: Engine, *names: str) -> None:
    """Until none of them is alive: what comes back under such a name before that may be its former self."""
    wait_for(lambda: not set(names) & {node.name for node in engine.observe().nodes if node.alive})


def pids_of(view: AttemptView) -> list[int]:
    return [worker.pid for worker in view.workers if worker.pid is not None]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family_of(log: Path) -> list[int]:
    """The three pids of a FAMILY, by its output."""

    def all_up() -> list[int] | None:
        pids = [int(word) for word in log.read_text().split()] if log.exists() else []
        return pids if len(pids) == 3 else None

    return wait_for(all_up)


def supervisor_of(pid: int) -> psutil.Process:
    """The process of the actor that watches over a worker."""
    return next(
        ancestor
        for ancestor in psutil.Process(pid).parents()
        if ancestor.cmdline()[:1] and ancestor.cmdline()[0].startswith("ray::Supervisor")
    )


def keepers(handle: ClusterHandle) -> list[psutil.Process]:
    """Processes that hold the nodes of that cluster."""
    processes = running_modules("suanli.engine.ray.keeper", psutil.process_iter())
    return [process for process in processes if handle.state_dir in process.cmdline()[-1]]


def running_modules(name: str, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those among them that run `python -m name`, or call themselves so."""
    found: list[psutil.Process] = []
    for process in processes:
        with suppress(psutil.Error):
            if name in process.cmdline():
                found.append(process)
    return found


def node_of(pid: int) -> str:
    """The name of the Ray node that a worker truly runs on, by the processes above it."""
    for ancestor in psutil.Process(pid).parents():
        words = ancestor.cmdline()
        if "suanli.engine.ray.keeper" in words:
            return json.loads(words[-1])["name"]
    raise AssertionError(f"process {pid} belongs to no node")


def kill_raylet(handle: ClusterHandle, name: str) -> None:
    """The daemon of that node, and nothing else of it."""
    for keeper in keepers(handle):
        if json.loads(keeper.cmdline()[-1])["name"] == name:
            raylets = [child for child in keeper.children() if child.name() == "raylet"]
            assert len(raylets) == 1
            raylets[0].kill()
            return
    raise AssertionError(f"there is no node {name}")
