"""The embedded Ray cluster: a session of processes that outlives the controller, adopted by the next one.

It never looks at RAY_ADDRESS or at what other clusters of the machine leave behind, and never ends a process that it
did not start. On loopback by default, with a token of its own.
"""

import hashlib
import importlib.util
import math
import os
import re
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from suanli.domain.errors import Unavailable
from suanli.domain.fleet import Node
from suanli.engine.ray import kept
from suanli.engine.ray.keeper import Host
from suanli.engine.ray.names import NODE_LABEL

START_TIMEOUT_S = 120.0
REACH_TIMEOUT_S = 3.0
LOOPBACK = "127.0.0.1"
SOCKET_PATH_MAX = 107
_SOCKET_SUFFIX = "/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_memory_monitor_refresh_ms": "0",  # Suanli's own limits say whom to kill, and why
    "RAY_idle_worker_killing_time_threshold_ms": "3600000",  # they are what makes the next start quick
    "RAY_ROTATION_MAX_BYTES": str(16 * 2**20),
    "RAY_ROTATION_BACKUP_COUNT": "1",
    "RAY_worker_niceness": "0",  # workers inherit it
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # agents and supervisors must see the devices they watch
}


class ClusterHandle(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cluster is and how to be let in. `state_dir` is empty for one that is not ours."""

    address: str
    token_path: str = ""
    state_dir: str = ""

    @property
    def is_loopback(self) -> bool:
        return self.address.startswith(LOOPBACK + ":")


def start_or_adopt(state_dir: Path, node: Node, *, host: str = LOOPBACK) -> ClusterHandle:
    """The embedded cluster of that folder: the living one, else a new one whose head is `node`.

    With another `host` than loopback, nodes of other machines can join there; Ray then listens on every interface.
    Takes about 4 s on a quiet machine where it must start. Raises Unavailable where it can't.
    """
    require_ray()
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    record, token = state_dir / "cluster.json", _token(state_dir)
    head = kept.recorded(record)
    if head is None:
        _end_keepers(state_dir)  # members may have outlived their head for a while
        head = kept.spawn(
            Host(
                name=node.name,
                host=host,
                temp_dir=str(_fresh_temp_dir(state_dir)),
                ready_file=str(state_dir / "address"),
                labels={NODE_LABEL: label_value(node.name)},
                **resources_of(node),
            ),
            record,
            environment(token_path=str(token), loopback=host == LOOPBACK),
        )
    try:
        address = kept.wait_ready(head, record, START_TIMEOUT_S)
    except Unavailable:
        kept.end(head, record)
        raise
    return ClusterHandle(address=address, token_path=str(token), state_dir=str(state_dir))


def running(state_dir: Path) -> ClusterHandle | None:
    """The embedded cluster of that folder if it is up, without starting one."""
    head = kept.recorded(state_dir / "cluster.json")
    ready = state_dir / "address"
    if head is None or not ready.exists():
        return None
    return ClusterHandle(
        address=ready.read_text(), token_path=str(state_dir / "ray-token"), state_dir=str(state_dir)
    )


def connect(address: str, token_path: str = "") -> ClusterHandle:
    """A cluster that somebody else runs, `host:port` of its head. Without a token path Ray's own settings hold.

    Raises Unavailable where nobody answers there.
    """
    require_ray()
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Unavailable(
            f"{address!r} is not the address of a Ray cluster.",
            remedy="Give host:port of its head, such as 10.0.0.1:6379.",
            code="SL-RAY-ADDRESS",
        )
    require_reachable(address)
    return ClusterHandle(address=address, token_path=token_path)


def stop(handle: ClusterHandle) -> None:
    """End the embedded cluster and all that still runs on it. Does nothing to one that is not ours."""
    if not handle.state_dir:
        return
    state_dir = Path(handle.state_dir)
    _end_keepers(state_dir)
    shutil.rmtree(_private_dir(state_dir), ignore_errors=True)


def environment(*, token_path: str, loopback: bool) -> dict[str, str]:
    """For every process that has to do with the cluster: nothing of another one's, nothing of the controller's."""
    dropped = ("RAY_", "SUANLI_", "PYTHONDONTWRITEBYTECODE")  # the last would double Ray's own start-up times
    own = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    if token_path:
        own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token_path}
    else:
        own |= {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH_")}
    if loopback:
        own["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or else Ray turns loopback into an outside address
    return own | SETTINGS


def resources_of(node: Node) -> dict[str, Any]:
    """What Ray counts of a node. Its CPUs are whole."""
    return {
        "cpus": max(1, math.ceil(node.cpus)),
        "gpus": len(node.accelerators),
        "memory_bytes": node.memory_bytes or None,
    }


def label_value(text: str) -> str:
    """As Ray allows it: 63 letters, digits, dots, dashes and underscores, a letter or digit at both ends."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:63].strip("._-")


def require_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        raise Unavailable(
            "Ray is not installed.", remedy="pip install 'ray[default]>=2.60'", code="SL-RAY-MISSING"
        )


def require_reachable(address: str) -> None:
    """Ask the network first, for Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_TIMEOUT_S).close()
    except OSError as error:
        raise Unavailable(
            f"No Ray cluster answers at {address}.",
            remedy="Check the address and that the head is up; nothing that runs there is lost.",
            evidence={"address": address, "error": str(error)},
            code="SL-RAY-UNREACHABLE",
        ) from error


def _end_keepers(state_dir: Path) -> None:
    for record in (*sorted((state_dir / "nodes").glob("*.json")), state_dir / "cluster.json"):
        keeper = kept.recorded(record)
        if keeper is not None:
            kept.end(keeper, record)


def _token(state_dir: Path) -> Path:
    """Ray would write its own where others can read it."""
    path = state_dir / "ray-token"
    if not path.exists():
        kept.write_private(path, secrets.token_hex(32).encode())
    return path


def _fresh_temp_dir(state_dir: Path) -> Path:
    """Ray opens its folder to everybody; the one around it stays closed."""
    private = _private_dir(state_dir)
    shutil.rmtree(private, ignore_errors=True)
    try:
        private.mkdir(mode=0o700)
    except OSError as error:
        raise Unavailable(
            f"Ray's folder {private} cannot be made: {error.strerror}.",
            remedy="Remove what is there, or give a state folder with a shorter path.",
            code="SL-RAY-START",
        ) from error
    return private / "r"


def _private_dir(state_dir: Path) -> Path:
    """Below the state folder, unless Ray's socket paths would then be too long for the kernel."""
    inside = state_dir / "session"
    if len(str(inside)) + len(_SOCKET_SUFFIX) <= SOCKET_PATH_MAX:
        return inside
    digest = hashlib.sha256(str(state_dir.absolute()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"suanli-{os.geteuid()}-{digest}"
