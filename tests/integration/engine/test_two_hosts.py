"""Two hosts, as far as the network goes: this one, and a network namespace with its own address and host name."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import ray_clusters as real

from suanli.domain.fleet import Node
from suanli.domain.observation import Phase
from suanli.domain.workload import EndCause
from suanli.engine.ray.cluster import ClusterHandle
from suanli.engine.ray.engine import RayEngine
from suanli.engine.ray.nodes import RayNodes

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"
    ),
]

NOTICE_MAX_S = 3.0
FAR = Node(name="far", cpus=1, memory_bytes=2**30)
MEET = (
    sys.executable, "-I", "-S", "-c",
    """
import os, socket, time
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if os.environ["RANK"] == "0":
    socket.create_server(place).accept()
else:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try: socket.create_connection(place); break
        except ConnectionRefusedError: time.sleep(0.02)
print("met at", place[0], "from", os.uname().nodename, flush=True)
time.sleep(600)
""",
)  # fmt: skip


class Hosts:
    """`near` is the address of this one; the wire between the two can be cut."""

    def __init__(self) -> None:
        tag = f"{os.getpid() % 10_000}"
        self.space, self.wire = f"suanli{tag}", f"sl{tag}"
        subnet = f"10.213.{os.getpid() % 250}"
        self.near = f"{subnet}.1"
        ip("netns", "add", self.space)
        ip("link", "add", self.wire, "type", "veth", "peer", "name", "far0", "netns", self.space)
        ip("addr", "add", f"{self.near}/24", "dev", self.wire)
        ip("link", "set", self.wire, "up")
        ip("-n", self.space, "addr", "add", f"{subnet}.2/24", "dev", "far0")
        for device in ("lo", "far0"):
            ip("-n", self.space, "link", "set", device, "up")

    @property
    def launcher(self) -> tuple[str, ...]:
        rename = 'hostname "{name}" && exec "$@"'
        return ("ip", "netns", "exec", self.space, "unshare", "--uts", "sh", "-c", rename, "sh")

    def cut(self) -> None:
        ip("link", "set", self.wire, "down")

    def heal(self) -> None:
        ip("link", "set", self.wire, "up")

    def close(self) -> None:
        ip("netns", "del", self.space)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    hosts = Hosts()
    yield hosts
    hosts.close()


@pytest.fixture(scope="module")
def cluster(hosts: Hosts) -> Iterator[tuple[ClusterHandle, RayEngine]]:
    with real.embedded(host=hosts.near) as handle, real.engine_on(handle) as engine:
        yield handle, engine


def test_a_gang_over_two_hosts_survives_no_cut_but_runs_again_when_it_is_healed(
    hosts: Hosts, cluster: tuple[ClusterHandle, RayEngine], tmp_path: Path
) -> None:
    handle, engine = cluster
    nodes = RayNodes(handle, hosts.launcher)
    nodes.add([FAR])
    real.wait_nodes(engine, "head", "far")
    engine.start(real.launch("gang", 1, tmp_path, *MEET, nodes=("head", "far")))
    view = real.wait_phase(engine, "gang", 1, Phase.RUNNING)
    real.wait_for(lambda: engine.read_log("gang", 1, 1, 0) == f"met at {hosts.near} from far\n".encode())

    began_s = time.monotonic()
    hosts.cut()
    real.wait_phase(engine, "gang", 1, Phase.LOST)
    noticed_s = time.monotonic() - began_s
    ended = real.wait_phase(engine, "gang", 1, Phase.ENDED)
    assert ended.cause is EndCause.NODE_LOST
    assert not any(real.is_running(pid) for pid in real.pids_of(view)), (
        "dead on the other side of the cut too"
    )

    hosts.heal()
    nodes.remove("far")
    real.wait_nodes_gone(engine, "far")
    nodes.add([FAR])
    real.wait_nodes(engine, "head", "far")
    engine.start(real.launch("gang", 2, tmp_path, *MEET, nodes=("head", "far")))
    real.wait_phase(engine, "gang", 2, Phase.RUNNING)
    print(f"noticed after {noticed_s:.2f} s")  # noqa: T201
    assert noticed_s <= NOTICE_MAX_S
