"""What the engine and the samplers report: how things are, whatever was decided."""

import enum

import msgspec

from suanli.domain.fleet import Node
from suanli.domain.record import Placement
from suanli.domain.workload import EndCause, Workload


class Phase(enum.Enum):
    """Of an attempt as the engine sees it. LOST: cut off or on a dead node, and its death is not yet certain."""

    CREATING = "creating"
    RUNNING = "running"
    READY = "ready"
    STOPPING = "stopping"
    LOST = "lost"
    ENDED = "ended"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What the program last said about itself, through `suanli.progress` and `suanli.commit_checkpoint`."""

    step: int = 0
    total: int | None = None
    metrics: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    checkpoint_step: int | None = None
    checkpoint_s: float | None = None
    at_s: float = 0.0


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process of a gang."""

    rank: int
    node: str
    pid: int | None = None
    alive: bool = False
    exit_code: int | None = None
    heartbeat_s: float = 0.0
    cpu_fraction: float = 0.0
    rss_bytes: int = 0
    accelerator_fraction: float | None = None
    accelerator_memory_bytes: int | None = None
    detail: str = ""


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as it truly is. `cause`, `exit_code` and `detail` are set once it has ended."""

    key: str
    number: int
    phase: Phase
    workers: tuple[WorkerView, ...] = ()
    cause: EndCause | None = None
    exit_code: int | None = None
    detail: str = ""
    port: int | None = None
    progress: Progress | None = None


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the engine found it. `seen` is what it has, before a declared fleet caps it."""

    name: str
    seen: Node
    alive: bool = True
    address: str = ""


class NodeSample(msgspec.Struct, frozen=True, kw_only=True):
    """Load of a node at an instant; fractions are of the whole node, rates per second. None: not measurable here."""

    node: str
    at_s: float
    cpu_fraction: float
    memory_used_bytes: int
    disk_used_fraction: float
    disk_read_bytes_per_s: float = 0.0
    disk_write_bytes_per_s: float = 0.0
    network_received_bytes_per_s: float = 0.0
    network_sent_bytes_per_s: float = 0.0
    accelerator_fraction: tuple[float, ...] = ()
    accelerator_memory_bytes: tuple[int, ...] = ()
    power_w: float | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that truly exists in the engine now. `incarnation` changes when the engine itself was restarted."""

    incarnation: str
    nodes: tuple[NodeView, ...] = ()
    attempts: tuple[AttemptView, ...] = ()
    samples: tuple[NodeSample, ...] = ()


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """All the engine needs to start one attempt: what, where, and the folders. Idempotent by (key, number).

    `model_dir` is the output folder of the workload named in `model: {from: ...}`. A service's replica listens on
    `listen_host`, and tells by `token` whether its gateway asks.
    """

    key: str
    number: int
    workload: Workload
    placements: tuple[Placement, ...]
    output_dir: str
    log_dir: str
    model_dir: str = ""
    listen_host: str = "127.0.0.1"
    token: str = ""
