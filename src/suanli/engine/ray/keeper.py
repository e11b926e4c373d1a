"""The process that holds one Ray node: starts its parts, and ends with any of them, as they do when it is killed.

Ray's own command does the same, but moves a loopback cluster to an outside address and opens a port for remote
drivers; so this calls what that command calls.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import msgspec


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One Ray node. `join` is the address of the cluster's head; empty: this becomes one.

    `host` is the address it can be reached at; empty: the one that faces the head. `ready_file` gets the cluster's
    address as soon as the node is up.
    """

    name: str
    temp_dir: str
    ready_file: str
    host: str = ""
    join: str = ""
    cpus: int = 1
    gpus: int = 0
    memory_bytes: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict[str, str])


OBJECT_STORE_BYTES = 100 * 2**20
WATCH_EVERY_S = 0.5


def main(host: Host) -> NoReturn:
    from ray._private.node import Node
    from ray._private.parameter import RayParams
    from ray.util import get_node_ip_address

    with _alone(Path(host.temp_dir)):
        node = Node(
            RayParams(
                gcs_address=host.join or None,
                node_ip_address=host.host or get_node_ip_address(host.join),
                node_name=host.name,
                num_cpus=host.cpus,
                num_gpus=host.gpus,
                memory=host.memory_bytes,
                labels=host.labels,
                temp_dir=host.temp_dir,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                dashboard_host="127.0.0.1",
                dashboard_agent_listen_port=0,
                include_log_monitor=cast(Any, False),
                no_monitor=True,
                min_worker_port=0,
                max_worker_port=0,
            ),
            head=not host.join,
            shutdown_at_exit=False,
            spawn_reaper=True,
        )

    address = str(node.address)
    draft = Path(host.ready_file + ".draft")
    draft.write_text(address)
    draft.rename(host.ready_file)
    if not host.join:
        _make_hub(address)
    while not node.dead_processes():
        time.sleep(WATCH_EVERY_S)
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    os._exit(1)


@contextmanager
def _alone(temp_dir: Path) -> Iterator[None]:
    """Ray looks for free socket names in the folder and then takes them: two nodes at once would take the same."""
    temp_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (temp_dir / "starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_hub(address: str) -> None:
    """As the hub's owner this process keeps its Ray job open, and with it the idle workers that make starts quick."""
    import ray

    from suanli.engine.ray.hub import attach
    from suanli.engine.ray.names import NAMESPACE

    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
    attach()


if __name__ == "__main__":
    os.umask(0o077)
    main(msgspec.json.decode(sys.argv[1], type=Host))
