"""The Ray engine under the faults that it is built for, on a real cluster of five nodes that pretend to have GPUs."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests import ray_clusters as real
from tests.ray_clusters import Cluster

from suanli.domain.errors import Unavailable
from suanli.domain.observation import AttemptView, Phase
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause
from suanli.engine.ray.cluster import environment
from suanli.engine.ray.engine import RayEngine

pytestmark = pytest.mark.timeout(300)  # the first test pays for the cluster

NOTICE_MAX_S = 3.0

SLEEP = (sys.executable, "-I", "-S", "-c", "import time; print('up', flush=True); time.sleep(600)")
FAMILY = (sys.executable, "-I", "-S", "-c", real.FAMILY)
MEET = (
    sys.executable, "-I", "-S", "-c",
    """
import os, socket, sys, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(place) as server:
        for _ in range(size - 1): server.accept()
else:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try: socket.create_connection(place); break
        except ConnectionRefusedError: time.sleep(0.02)
print("met as", rank, "of", size, "with", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(600)
""",
)  # fmt: skip


@pytest.fixture
def cluster(pytestconfig: pytest.Config) -> Cluster:
    return real.shared_cluster(pytestconfig)


def run(cluster: Cluster, folder: Path, key: str, *argv: str, **more: object) -> AttemptView:
    """A first attempt, running."""
    engine = cluster.engine
    engine.start(real.launch(key, 1, folder, *(argv or SLEEP), **more))  # pyright: ignore[reportArgumentType]
    return real.wait_phase(engine, key, 1, Phase.RUNNING)


def test_a_gang_lands_exactly_on_the_nodes_of_the_plan_and_meets_there(
    cluster: Cluster, tmp_path: Path
) -> None:
    engine = cluster.engine
    nodes = ("n3", "n1", "n4", "n2")
    view = run(cluster, tmp_path, "gang", *MEET, nodes=nodes, share=Share(cpus=1, devices=(0, 1)))
    assert tuple(real.node_of(pid) for pid in real.pids_of(view)) == nodes
    seen = {node.name: node.seen.accelerators for node in engine.observe().nodes if node.alive}
    assert seen == {"head": (), **{node.name: node.accelerators for node in real.GPU_NODES}}
    for rank in range(4):
        real.wait_for(
            lambda rank=rank: engine.read_log("gang", 1, rank, 0) == b"met as %d of 4 with 0,1\n" % rank
        )


def test_when_one_worker_fails_the_whole_gang_ends_by_it(cluster: Cluster, tmp_path: Path) -> None:
    engine = cluster.engine
    program = "import os, sys, time; os.environ['RANK'] == '1' and sys.exit(3); time.sleep(600)"
    engine.start(real.launch("pair", 1, tmp_path, sys.executable, "-c", program, nodes=("n1", "n2")))
    view = real.wait_phase(engine, "pair", 1, Phase.ENDED)
    assert (view.cause, view.exit_code, view.detail) == (EndCause.FAILED, 3, "exit code 3")
    assert not any(real.is_running(pid) for pid in real.pids_of(view))


def test_a_plan_never_hangs_on_what_ray_itself_counts(cluster: Cluster, tmp_path: Path) -> None:
    share = Share(cpus=1, devices=(0, 1))
    run(cluster, tmp_path, "one", share=share, nodes=("n1",))
    run(cluster, tmp_path, "two", share=share, nodes=("n1",))
    run(cluster, tmp_path, "three", share=Share(cpus=64, memory_bytes=0), nodes=("n2",))


def test_a_killed_worker_is_a_failure_with_its_signal(cluster: Cluster, tmp_path: Path) -> None:
    engine = cluster.engine
    pid = real.pids_of(run(cluster, tmp_path, "victim"))[0]
    os.kill(pid, signal.SIGKILL)
    view = real.wait_phase(engine, "victim", 1, Phase.ENDED)
    assert (view.cause, view.exit_code) == (EndCause.KILLED, 137)


def test_a_killed_supervisor_takes_its_worker_along_and_the_gang_is_lost(
    cluster: Cluster, tmp_path: Path
) -> None:
    engine = cluster.engine
    view = run(cluster, tmp_path, "orphans", *FAMILY, nodes=("n1", "n2"), grace_s=0.5)
    pids = [pid for rank in (0, 1) for pid in real.family_of(tmp_path / "log" / "orphans" / f"1-{rank}.log")]
    real.supervisor_of(real.pids_of(view)[1]).kill()
    ended = real.wait_phase(engine, "orphans", 1, Phase.ENDED)
    assert (ended.cause, ended.detail) == (EndCause.NODE_LOST, "the supervisor of rank 1 on n2 was killed")
    assert not any(real.is_running(pid) for pid in pids)


def test_a_frozen_supervisor_loses_its_worker_to_the_watchdog(cluster: Cluster, tmp_path: Path) -> None:
    engine = cluster.engine
    pid = real.pids_of(run(cluster, tmp_path, "frozen", *FAMILY))[0]
    pids = real.family_of(tmp_path / "log" / "frozen" / "1-0.log")
    supervisor = real.supervisor_of(pid)
    supervisor.suspend()
    try:
        real.wait_phase(engine, "frozen", 1, Phase.LOST)
        assert real.wait_phase(engine, "frozen", 1, Phase.ENDED).cause is EndCause.NODE_LOST
        assert not any(real.is_running(pid) for pid in pids)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            supervisor.resume()


def test_a_killed_hub_comes_back_and_knows_everything(cluster: Cluster, tmp_path: Path) -> None:
    handle, engine = cluster.handle, cluster.engine
    view = run(cluster, tmp_path, "steady", nodes=("n1", "head"))
    engine.start(real.launch("done", 4, tmp_path, "true"))
    real.wait_phase(engine, "done", 4, Phase.ENDED)
    incarnation = engine.observe().incarnation
    below = {process for keeper in real.keepers(handle) for process in keeper.children(recursive=True)}
    hubs = real.running_modules("ray::Hub", below)
    assert len(hubs) == 1
    hubs[0].kill()
    hubs[0].wait()
    real.wait_for(lambda: seen_through(engine, "steady"))
    assert real.pids_of(real.wait_phase(engine, "steady", 1, Phase.RUNNING)) == real.pids_of(view)
    assert engine.observe().incarnation == incarnation
    engine.forget("done", 4)
    engine.start(real.launch("done", 4, tmp_path, "true"))
    assert real.view_of(engine, "done", 4) is None


def test_a_killed_driver_is_replaced_and_the_work_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    engine = cluster.engine
    view = run(cluster, tmp_path, "unmoved")
    drivers = real.running_modules("suanli.engine.ray.driver", psutil.Process().children())
    assert len(drivers) == 1
    drivers[0].kill()
    drivers[0].wait()
    assert real.pids_of(real.wait_for(lambda: seen_through(engine, "unmoved"))) == real.pids_of(view)


def seen_through(engine: RayEngine, key: str) -> AttemptView | None:
    """As it is seen by an engine that may be out of reach for a while."""
    try:
        return real.view_of(engine, key, 1)
    except Unavailable:
        return None


def test_what_leaked_into_the_cluster_is_swept(cluster: Cluster, tmp_path: Path) -> None:
    """By a driver of somebody else, who left a group in Suanli's name."""
    handle = cluster.handle
    program = f"""
import ray, time
from ray.util import get_placement_group, placement_group
ray.init(address="{handle.address}", namespace="suanli", log_to_driver=False, logging_level="ERROR")
placement_group([{{"CPU": 0.5}}], name="suanli:group:ghost:1:full", lifetime="detached")
until = time.monotonic() + 60
while time.monotonic() < until:
    try: get_placement_group("suanli:group:ghost:1:full")
    except ValueError: print("swept"); break
    time.sleep(0.1)
"""
    env = environment(token_path=handle.token_path, loopback=True)
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "swept", done.stderr


def test_a_gang_whose_raylet_dies_runs_on_elsewhere_only_after_its_death(
    cluster: Cluster, tmp_path: Path
) -> None:
    loses_a_raylet(cluster, tmp_path)


@pytest.mark.speed
def test_a_dead_raylet_is_noticed_in_time(cluster: Cluster, tmp_path: Path) -> None:
    assert loses_a_raylet(cluster, tmp_path) <= NOTICE_MAX_S


def loses_a_raylet(cluster: Cluster, tmp_path: Path) -> float:
    """Seconds after which it was noticed."""
    handle, engine = cluster.handle, cluster.engine
    run(cluster, tmp_path, "moved", *FAMILY, nodes=("n1", "n2", "n3"), grace_s=1.0)
    pids = [pid for rank in range(3) for pid in real.family_of(tmp_path / "log" / "moved" / f"1-{rank}.log")]
    began_s = time.monotonic()
    real.kill_raylet(handle, "n2")
    real.wait_phase(engine, "moved", 1, Phase.LOST)
    noticed_s = time.monotonic() - began_s
    ended = real.wait_phase(engine, "moved", 1, Phase.ENDED)
    assert (ended.cause, ended.detail) == (EndCause.NODE_LOST, "node n2 was lost")
    assert not any(real.is_running(pid) for pid in pids)
    engine.start(real.launch("moved", 2, tmp_path, *SLEEP, nodes=("n1", "n4", "n3")))
    real.wait_phase(engine, "moved", 2, Phase.RUNNING)
    running_s = time.monotonic() - began_s
    print(f"noticed after {noticed_s:.2f} s, running again after {running_s:.2f} s")  # noqa: T201
    return noticed_s
