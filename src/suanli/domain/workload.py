"""The software layer: what users hand in. Immutable; what happens to it is told by events (see `record`)."""

import enum

import msgspec

from suanli.domain.resources import Demand


class Kind(enum.Enum):
    """`train` is checkpointed training, `job` any program that ends, `serve` a model service that stays up."""

    TRAIN = "train"
    JOB = "job"
    SERVE = "serve"


class EndCause(enum.Enum):
    """Why an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OUT_OF_MEMORY = "out-of-memory"
    KILLED = "killed"  # by a SIGKILL that neither Suanli nor a lack of memory sent
    NODE_LOST = "node-lost"
    PREEMPTED = "preempted"
    REBALANCED = "rebalanced"
    DRAINED = "drained"
    IDLE = "idle"
    STOPPED = "stopped"
    START_FAILED = "start-failed"


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """Data a workload reads: where it lies (`at`: a node, rack, zone or site) and how big it is."""

    uri: str
    size_bytes: int = 0
    at: str = ""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How many times a failing attempt is tried again. Losing a node or being preempted never counts against it."""

    limit: int = 0
    delay_s: float = 5.0
    on: tuple[EndCause, ...] = (EndCause.FAILED, EndCause.OUT_OF_MEMORY, EndCause.START_FAILED)


class IdleRule(msgspec.Struct, frozen=True, kw_only=True):
    """Below `below` (fraction of the CPU or accelerator share held) for `for_s`: warn, or stop and give back."""

    below: float
    for_s: float
    then: str = "warn"


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """Promises of a service; None is not promised."""

    p95_s: float | None = None
    ttft_p95_s: float | None = None
    tpot_p95_s: float | None = None
    availability: float | None = None


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What the latest evaluation of a version on `suite` must say before a revision with it is accepted.

    `worse_max` is by how much of the serving version's figure it may be worse, as a fraction; None asks nothing.
    """

    suite: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    worse_max: float | None = None


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """How a new revision of a service takes over.

    `rolling`: one replica after another, at most `surge` more and `unavailable` fewer than wanted. `blue-green`: all
    new ones beside the old, then all traffic at once. `canary`: by these shares of traffic, one after another. After
    each step of the latter two the new revision is watched for `window_s`, and for `requests_min` requests where so
    many come; it is taken back where it fails more than `error_rate_max` and more than the old one, breaks the SLO, or
    where a replica of it is not ready within `ready_s`. Where its model does not pass the `gates`, it never begins.
    """

    strategy: str = "rolling"
    steps: tuple[float, ...] = (1.0,)
    auto_rollback: bool = True
    surge: int = 1
    unavailable: int = 0
    window_s: float = 60.0
    requests_min: int = 50
    error_rate_max: float = 0.01
    ready_s: float = 600.0
    gates: tuple[Gate, ...] = ()


class TokenPrice(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars for a million tokens of prompts, and of answers."""

    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How requests reach a service: which replica is chosen, how many wait and for how long, what is sent again.

    `concurrency` requests at most are with one replica (0: any number). With a `price` requests cost by the token,
    else by the second, what the replica's share of its node does.
    """

    balance: str = "least-outstanding"
    concurrency: int = 0
    queue: int = 1000
    queue_s: float = 30.0
    hold_s: float = 120.0
    deadline_s: float = 600.0
    idempotent: bool = False
    hedge_after_s: float | None = None
    body_bytes_max: int = 16 * 2**20
    price: TokenPrice | None = None


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the registry: `ref` as it was written (`chat@prod`), and the version that it named when accepted."""

    ref: str
    name: str = ""
    number: int = 0

    @property
    def version(self) -> tuple[str, int]:
        """Name and number."""
        return self.name, self.number


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is served with: `transformers`, `onnx`, `python` (with `code`), `vllm`; empty: by its format.

    `task` is empty where the model's files tell it; None leaves a bound to the runtime.
    """

    name: str = ""
    task: str = ""
    code: str = ""
    batch_max: int | None = None
    batch_wait_s: float | None = None
    latency_max_s: float | None = None
    context_max: int | None = None
    quantization: str = ""


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """From `at_s` seconds after midnight on these `days` (0: Monday), until the next one begins: at least so many."""

    at_s: float
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    replicas: int


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas run, within the service's range, and how fast that follows.

    `metric`: `slo` (what the promised latencies need), `concurrency` (ongoing requests a replica), `rps` (requests/s a
    replica), `queue` (waiting requests a replica), `utilisation` (of what replicas hold), `schedule` (`floors` only),
    `off` (nobody but a user decides); empty: `slo` where a latency is promised, else `concurrency`. `target` is what
    one replica shall have of it, None the metric's own. More are wanted for `upscale_delay_s` before they come, fewer
    for `downscale_delay_s` before any goes. `forecast` repeats days or weeks; `floors` are told in `timezone`.
    """

    metric: str = ""
    target: float | None = None
    upscale_delay_s: float = 0.5
    downscale_delay_s: float = 300.0
    forecast: str = "off"
    floors: tuple[Floor, ...] = ()
    timezone: str = "UTC"


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What a `serve` workload needs beyond a program: a port (None: Suanli picks one), health and replicas.

    With a `runtime` that serves its model, and it has no program of its own.
    A replica that shall end gets no new requests and has `drain_s` to answer those it has. `idle_s` without a request
    stops all of them, where `replicas_min` is 0.
    """

    port: int | None = None
    health_path: str = "/healthz"
    runtime: Runtime | None = None
    replicas_min: int = 1
    replicas_max: int | None = 1
    slo: Slo = Slo()
    update: Update = Update()
    access: Access = Access()
    drain_s: float = 30.0
    idle_s: float = 300.0
    scaling: Scaling = Scaling()


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One declared piece of work. `demand` is per node; `nodes` distinct nodes make a gang that starts whole or not.

    `speeds` is what the whole gang gets done in a second, by accelerator model, in units of its own (steps); a model
    that is missing there is one that it cannot use. Empty: a unit is a second, wherever it runs. `work` is all that
    there is to do, where its owner says so. Both, like `duration_s`, are meant for `nodes` nodes; on others of its
    range elastic work gets done in proportion.
    """

    name: str
    kind: Kind
    run: tuple[str, ...]
    demand: Demand = Demand()
    nodes: int = 1
    elastic_nodes: tuple[int, int] | None = None
    workers_per_node: int = 1
    team: str = "default"
    priority: int = 50
    preemptible: bool = True
    held: bool = False
    env: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    workdir: str = ""
    after: tuple[str, ...] = ()
    model_from: str = ""
    model: ModelUse | None = None
    not_before_s: float | None = None
    duration_s: float | None = None
    speeds: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    work: float | None = None
    deadline_s: float | None = None
    checkpoint_every_s: float | None = None
    grace_s: float = 20.0
    processes_max: int | None = None
    retry: Retry = Retry()
    idle: IdleRule | None = None
    data: tuple[Dataset, ...] = ()
    outputs: tuple[str, ...] = ()
    node_labels: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    service: Service | None = None

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Workloads that must have succeeded first."""
        return (*self.after, self.model_from) if self.model_from else self.after

    @property
    def saves(self) -> bool:
        """Whether its work survives being stopped: training saves it on SIGTERM, other programs as they declare."""
        return self.kind is Kind.TRAIN or self.checkpoint_every_s is not None

    def speed_on(self, accelerator: str, nodes: int | None = None) -> float:
        """Units of work in a second on that model, on so many nodes; 0 where it cannot run there."""
        speed = self.speeds.get(accelerator, 0.0) if self.speeds else 1.0
        return speed if nodes is None or nodes == self.nodes else speed * nodes / self.nodes

    @property
    def worker_count(self) -> int:
        return self.nodes * self.workers_per_node
