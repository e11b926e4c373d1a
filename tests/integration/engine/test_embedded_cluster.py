"""The embedded cluster's own life: adopted after a crash, let in by its token alone, and ended without a trace."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from tests import ray_clusters as real

from suanli.domain.errors import Unavailable
from suanli.domain.observation import Phase
from suanli.engine.ray.cluster import ClusterHandle, connect, running, start_or_adopt, stop
from suanli.engine.ray.engine import RayEngine

CONTROLLER = """
import os, signal, sys
from pathlib import Path
from suanli.engine.ray.cluster import start_or_adopt
from suanli.engine.ray.engine import RayEngine
from suanli.domain.observation import Phase
from tests import ray_clusters as real
folder = Path(sys.argv[1])
engine = RayEngine(start_or_adopt(folder, real.HEAD))
engine.start(real.launch("job", 1, folder, "sleep", "600"))
view = real.wait_phase(engine, "job", 1, Phase.RUNNING)
print(engine.observe().incarnation, view.workers[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def handle() -> Iterator[ClusterHandle]:
    """Started where the environment points to another cluster, which must not matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "127.0.0.1:1")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_TMPDIR", "/nonexistent")
        patch.setenv(
            "PYTHONPATH", str(Path(__file__).parents[3])
        )  # for agents to find `tests.ray_clusters.probe`
        with real.embedded() as handle:
            yield handle


def test_a_controller_killed_for_good_leaves_work_that_the_next_one_adopts(handle: ClusterHandle) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", CONTROLLER, handle.state_dir], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    incarnation, pid = killed.stdout.split()
    assert start_or_adopt(Path(handle.state_dir), real.HEAD) == handle
    with real.engine_on(handle) as engine:
        view = real.wait_phase(engine, "job", 1, Phase.RUNNING)
        assert (engine.observe().incarnation, view.workers[0].pid) == (incarnation, int(pid))


def test_nothing_of_it_can_be_read_or_reached_by_others(handle: ClusterHandle) -> None:
    folder = Path(handle.state_dir)
    assert stat.S_IMODE((folder / "ray-token").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "cluster.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    ray_folder = Path(json.loads(real.keepers(handle)[0].cmdline()[-1])["temp_dir"])
    assert stat.S_IMODE(ray_folder.parent.stat().st_mode) == 0o700
    listening = {
        connection.laddr.ip
        for keeper in real.keepers(handle)
        for process in (keeper, *keeper.children(recursive=True))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_every_node_is_measured_where_a_probe_is_given(handle: ClusterHandle) -> None:
    with real.engine_on(handle, real.probe) as engine:
        samples = real.wait_for(lambda: engine.observe().samples)
        assert [(sample.node, sample.cpu_fraction) for sample in samples] == [("head", 0.25)]
        assert engine.observe().nodes[0].seen.cpus == 3.5


def test_a_wrong_token_is_refused_and_said_so(handle: ClusterHandle, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0" * 64)
    with pytest.raises(Unavailable, match="refuses the token") as refused:
        RayEngine(msgspec.structs.replace(handle, token_path=str(tmp_path / "token"), state_dir=""))
    assert refused.value.code == "SL-RAY-TOKEN"


def test_an_address_where_nobody_answers_is_said_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(Unavailable, match=f"No Ray cluster answers at {address}"):
        connect(address)
    with pytest.raises(Unavailable, match="is not the address"):
        connect("somewhere")


def test_a_cluster_that_died_is_unavailable_and_the_next_one_is_another(handle: ClusterHandle) -> None:
    with real.engine_on(handle) as engine:
        pid = real.pids_of(real.wait_phase(engine, "job", 1, Phase.RUNNING))[0]
        incarnation = engine.observe().incarnation
        for keeper in real.keepers(handle):
            os.kill(keeper.pid, signal.SIGKILL)

        def is_unavailable() -> bool:
            try:
                engine.observe()
            except Unavailable:
                return True
            return False

        real.wait_for(is_unavailable)
    real.wait_for(lambda: not real.is_running(pid))
    assert running(Path(handle.state_dir)) is None
    again = start_or_adopt(Path(handle.state_dir), real.HEAD)
    with real.engine_on(again) as engine:
        assert engine.observe().incarnation != incarnation
        assert engine.observe().attempts == ()


def test_stopping_it_leaves_no_process_and_starting_it_again_is_no_trouble(handle: ClusterHandle) -> None:
    processes = [p for keeper in real.keepers(handle) for p in (keeper, *keeper.children(recursive=True))]
    assert processes
    stop(handle)
    real.wait_for(lambda: not any(real.is_running(process.pid) for process in processes))
    assert running(Path(handle.state_dir)) is None
    stop(handle)
