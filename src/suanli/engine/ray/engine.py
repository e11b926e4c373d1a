"""`Engine` on a Ray cluster."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from suanli.domain.errors import Unavailable
from suanli.domain.fleet import Node
from suanli.domain.observation import Launch, NodeSample, Observation
from suanli.domain.workload import EndCause
from suanli.engine.messages import Timing
from suanli.engine.ray.cluster import ClusterHandle, environment, require_reachable
from suanli.engine.ray.link import Link
from suanli.engine.ray.requests import AttemptName, Connection, LogRequest, Settings, StopRequest

CONNECT_TIMEOUT_S = 60.0
DEFAULT_TIMING = Timing()

Probe = Callable[[str], tuple[Node, NodeSample]]
"""Measures the node it runs on, given that node's name. A module's function: nodes import it by its own name."""


class RayEngine:
    """Everything it knows is in the cluster: a new one on the same cluster sees all that a former one started.

    Thread-safe. Raises Unavailable where the cluster can't be reached; `timing` counts for what it starts.
    """

    def __init__(
        self, handle: ClusterHandle, *, probe: Probe | None = None, timing: Timing = DEFAULT_TIMING
    ) -> None:
        require_reachable(handle.address)
        name = f"{probe.__module__}:{probe.__qualname__}" if probe else ""
        connection = Connection(address=handle.address, settings=Settings(timing=timing, probe=name))
        env = environment(token_path=handle.token_path, loopback=handle.is_loopback)
        log = Path(handle.state_dir) / "driver.log" if handle.state_dir else None
        self._link = Link(connection, env, log)
        try:
            self._link.wait_connected(CONNECT_TIMEOUT_S)
        except Unavailable:
            self._link.close()
            raise

    def observe(self) -> Observation:
        return msgspec.json.decode(self._link.ask("observe"), type=Observation)

    def start(self, launch: Launch) -> None:
        self._link.ask("start", msgspec.json.encode(launch))

    def stop(self, key: str, number: int, cause: EndCause, grace_s: float) -> None:
        request = StopRequest(key=key, number=number, cause=cause, grace_s=grace_s)
        self._link.ask("stop", msgspec.json.encode(request))

    def forget(self, key: str, number: int) -> None:
        self._link.ask("forget", msgspec.json.encode(AttemptName(key=key, number=number)))

    def read_log(self, key: str, number: int, rank: int, offset: int) -> bytes:
        request = LogRequest(key=key, number=number, rank=rank, offset=offset)
        return msgspec.json.decode(self._link.ask("read_log", msgspec.json.encode(request)), type=bytes)

    def close(self) -> None:
        self._link.close()
