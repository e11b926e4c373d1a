"""What supervisors and the hub tell each other, as JSON: a report goes up with each heartbeat, an order comes back."""

import enum

import msgspec

from suanli.domain.observation import Launch, Progress
from suanli.domain.workload import EndCause
from suanli.engine.environment import Rendezvous


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the protocol.

    A worker is killed by its own shim `fence_s` after the last heartbeat that was answered, asked for or not; so
    `fence_s + kill_s` after the hub last heard of it, it is dead wherever it is.
    """

    beat_s: float = 0.4
    beats_per_s_max: float = 250.0  # of all workers together: the hub can take about four times as many
    fence_s: float = 5.0
    kill_s: float = 1.0
    lost_after_s: float = 2.5
    start_timeout_s: float = 30.0
    peer_grace_s: float = 5.0


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """All that a supervisor is made with."""

    launch: Launch
    rank: int
    node: str
    timing: Timing


class State(enum.Enum):
    """Of one worker. WAITING: no process yet; ENDED: none any more, for certain."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class End(msgspec.Struct, frozen=True):
    cause: EndCause
    exit_code: int | None = None
    detail: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole tree of one worker; CPU in cores."""

    cpus: float = 0.0
    rss_bytes: int = 0
    accelerator_fraction: float | None = None
    accelerator_memory_bytes: int | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is. `host` and `port` are its place in the gang's rendezvous."""

    key: str
    number: int
    rank: int
    state: State
    host: str
    port: int
    service_port: int | None = None
    pid: int | None = None
    ready: bool = False
    end: End | None = None
    usage: Usage = Usage()
    progress: Progress | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub wants of a worker. `kill`: at once, for a later attempt may be about to start.

    `beat_s`: how often it wants to hear of it.
    """

    beat_s: float = 0.0
    go: Rendezvous | None = None
    stop_grace_s: float | None = None
    kill: bool = False
