"""A fleet of emulated Ray nodes with pretended accelerators, and a controller that runs in a thread of its own."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from suanli.control.clock import SystemClock
from suanli.control.controller import Controller, Ports
from suanli.control.front import Front
from suanli.domain import events as ev
from suanli.domain.fleet import Fleet, Node
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Kind, Workload
from suanli.engine.ray.cluster import ClusterHandle, start_or_adopt, stop
from suanli.engine.ray.engine import RayEngine
from suanli.engine.ray.nodes import RayNodes
from suanli.ports.store import Commit
from suanli.store import SqlStore
from suanli.telemetry.history import History

COUNTER = Path(__file__).with_name("counter.py")
TICK_S = 0.05


def node(name: str, model: str) -> Node:
    return Node(name=name, cpus=4, memory_bytes=4 * 2**30, accelerators=(model,) * 2)


FLEET = Fleet(
    name="emulated",
    nodes=(node("head", "V100-16GB"), *(node(f"a{i}", "A100-80GB") for i in range(1, 6))),
)


@contextmanager
def emulated_cluster(folder: Path, fleet: Fleet = FLEET) -> Iterator[ClusterHandle]:
    """A head and further Ray nodes on this machine, all up."""
    handle = start_or_adopt(folder, fleet.nodes[0])
    try:
        RayNodes(handle).add(fleet.nodes[1:])
        engine = RayEngine(handle)
        until(lambda: len(engine.observe().nodes) == len(fleet.nodes), 200)
        engine.close()
        yield handle
    finally:
        stop(handle)


@contextmanager
def controller(
    home: Path, handle: ClusterHandle, fleet: Fleet = FLEET, front: Front | None = None
) -> Iterator[Controller]:
    engine, store = RayEngine(handle), SqlStore(f"sqlite:///{home / 'suanli.db'}")
    ports = Ports(store, engine, SystemClock(), History())
    running = Controller(ports, holder="test", home=home, front=front)
    store.commit(Commit(events=(ev.FleetDeclared(fleet=fleet),), actor="test", at_s=time.time()))
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(TICK_S):
            running.cycle()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield running
    finally:
        ended.set()
        thread.join()
        running.give_up()
        engine.close()
        store.close()


def control(home: Path, handle: ClusterHandle, holder: str) -> None:
    """A controller's process: cycles until it is killed."""
    engine, store = RayEngine(handle), SqlStore(f"sqlite:///{home / 'suanli.db'}")
    running = Controller(Ports(store, engine, SystemClock(), History()), holder=holder, home=home)
    while True:
        running.cycle()
        time.sleep(TICK_S)


def counting_gang(name: str, steps: int, nodes: int = 4, pace_s: float = 0.1) -> Workload:
    """A gang that counts, one worker on each node, on two A100-80GB each."""
    return Workload(
        name=name,
        kind=Kind.TRAIN,
        run=(sys.executable, str(COUNTER)),
        nodes=nodes,
        demand=Demand(cpus=1.0, memory_bytes=2**28, accelerators=(AcceleratorDemand("A100-80GB", 2),)),
        env={"SUANLI_TEST_STEPS": str(steps), "SUANLI_TEST_PACE_S": str(pace_s)},
        workdir=str(COUNTER.parent),
        grace_s=3.0,
    )


def submit(running: Controller, workload: Workload) -> None:
    event: ev.Event = ev.Submitted(key=workload.name, workload=workload)
    if workload.service is not None:
        event = ev.Revised(service=workload.name, number=1, workload=workload)
    running.ports.store.commit(Commit(events=(event,), actor="test", at_s=time.time()))


def kill_raylet(handle: ClusterHandle, name: str) -> None:
    """SIGKILL to the raylet of an added node, as if its machine's Ray had died."""
    keepers = [p for p in psutil.process_iter(["cmdline"]) if _keeps(p, handle, name)]
    raylets = [c for k in keepers for c in k.children(recursive=True) if c.name() == "raylet"]
    assert raylets, f"no raylet of {name} found"
    for raylet in raylets:
        raylet.kill()


def _keeps(process: psutil.Process, handle: ClusterHandle, name: str) -> bool:
    argv = " ".join(process.info["cmdline"] or ())
    return "suanli.engine.ray.keeper" in argv and f'"name":"{name}"' in argv and handle.address in argv


def until(holds: Callable[[], object], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not so within {within_s:g} s"
        time.sleep(0.02)
