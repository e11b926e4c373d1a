"""Documents of `kind: train` and `job`, and what services share with them: their fields."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from suanli.domain.workload import Retry
from suanli.spec import fields as f

NODES_MAX = 100_000

Failure = Literal["failed", "out-of-memory", "start-failed", "node-lost", "preempted"]


class Resources(f.Shape):
    """What the workload holds on each of its nodes."""

    cpus: f.Cores | None = Field(
        default=None, description="CPU cores. Default: one per worker.", examples=["4"]
    )
    memory: f.Size = Field(default=0, description="Main memory; it is also the limit.", examples=["16GiB"])
    disk: f.Size = Field(default=0, description="Local disk.", examples=["200GiB"])
    network: f.Bandwidth = Field(
        default=0.0, description="Network bandwidth kept for it.", examples=["10Gbps"]
    )
    accelerators: f.Accelerators = Field(
        default=(),
        description="Accelerators by name and count, below 1 for a share of one; of a list, any one will do.",
        examples=["H100:8", "[H100:8, A100-80GB:8]", "T4:0.5"],
    )
    nodes: int | None = Field(
        default=None,
        ge=1,
        le=NODES_MAX,
        description="The same as `nodes` beside `resources`.",
        examples=["4"],
    )


class Checkpoint(f.Shape):
    every: f.TimeSpan = Field(description="How often the program saves its work.", examples=["15m"])


class RetryShape(f.Shape):
    limit: int | None = Field(
        default=None, ge=0, le=10_000, description="Failures that are tried again.", examples=["3"]
    )
    delay: f.TimeSpan = Field(
        default=Retry().delay_s, description="Wait before the next try.", examples=["30s"]
    )
    on: list[Failure] | None = Field(
        default=None,
        description="What is tried again. Default: every failure. Lost nodes and preemptions always are, uncounted.",
        examples=["[failed, out-of-memory]"],
    )


class Idle(f.Shape):
    below: f.Share = Field(description="Use of what it holds that counts as idle.", examples=["5%"])
    for_: f.TimeSpan = Field(alias="for", description="For how long without a break.", examples=["30m"])
    then: Literal["warn", "stop"] = Field(
        default="warn", description="Tell its owner, or stop it.", examples=["stop"]
    )


class DatasetShape(f.Shape):
    uri: f.Nonempty = Field(description="Where the data is read from.", examples=["s3://corpora/web"])
    size: f.Size = Field(default=0, description="How big it is.", examples=["2TiB"])
    at: f.Text = Field(
        default="", description="The node, rack, zone or site where it lies.", examples=["rack-1"]
    )


class ModelShape(f.Shape):
    """A version of the registry, or what another workload leaves behind."""

    from_: f.Name | None = Field(
        default=None, alias="from", description="The train or job whose output it uses.", examples=["gpt"]
    )
    ref: f.ModelRef | None = Field(
        default=None,
        description="A version of the registry: the newest, by number, or by alias.",
        examples=["minilm", "minilm/3", "minilm@prod"],
    )


Model = Annotated[
    ModelShape,
    BeforeValidator(f.model_ref, json_schema_input_type=str | ModelShape),
]


class Common(f.Shape):
    """What all workloads have."""

    name: f.Name = Field(description="Its name, unique among workloads.", examples=["gpt"])
    run: f.Argv = Field(
        description="The command, as a list of words or a text that is split as a shell would, without a shell.",
        examples=["python train.py --steps 1000", "[python, train.py]"],
    )
    resources: Resources = Field(default_factory=Resources, description="What it holds on each of its nodes.")
    nodes: int | None = Field(
        default=None,
        ge=1,
        le=NODES_MAX,
        description="Nodes of the gang, which starts whole or not at all. Default: 1.",
        examples=["4"],
    )
    workers_per_node: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Processes on each node. Default: one per accelerator, else one; of a service one.",
        examples=["8"],
    )
    team: f.Place = Field(default="default", description="Whose quota it counts against.", examples=["nlp"])
    priority: int = Field(default=50, ge=0, le=100, description="Higher goes first.", examples=["70"])
    preemptible: bool = Field(default=True, description="May be stopped for work of higher priority.")
    hold: bool = Field(default=False, description="Accept it, but don't start it until it is released.")
    env: dict[f.Variable, f.Text] = Field(
        default={}, max_length=1000, description="Environment variables.", examples=["{LR: 3e-4}"]
    )
    workdir: f.Nonempty | None = Field(
        default=None,
        description="Where the command runs, from this file's folder, which is also the default.",
        examples=["."],
    )
    after: f.Names = Field(
        default=(), description="Trains and jobs that must have succeeded first.", examples=["[prepare]"]
    )
    model: Model | None = Field(
        default=None,
        description="The model it needs, in $SUANLI_MODEL_DIR: a version of the registry, or the output of a workload, "
        "which it waits for.",
        examples=["minilm@prod", "{from: gpt}"],
    )
    not_before: f.Instant | None = Field(
        default=None,
        description="Earliest start, as an instant or from now.",
        examples=["2026-12-01T09:00+08:00", "2h"],
    )
    grace: f.TimeSpan = Field(default=20.0, description="From SIGTERM to SIGKILL.", examples=["30s"])
    retry: RetryShape = Field(default_factory=RetryShape, description="What happens when it fails.")
    idle: Idle | None = Field(
        default=None,
        description="What happens when it does not use what it holds.",
        examples=["{below: 5%, for: 30m}"],
    )
    data: list[DatasetShape] = Field(
        default=[], max_length=1000, description="Data it reads: placement knows where it lies."
    )
    processes: int | None = Field(
        default=None,
        ge=1,
        le=4_194_304,
        description="Most processes and threads of one worker.",
        examples=["512"],
    )
    node_labels: f.Labels = Field(
        default={}, description="Only nodes with these labels will do.", examples=["{disk: nvme}"]
    )


Speed = Annotated[float, Field(gt=0, lt=1e12, allow_inf_nan=False)]


class Batch(Common):
    """`train` is checkpointed training, `job` any program that ends."""

    kind: Literal["train", "job"] = Field(description="`train` or `job`.")
    elastic: f.Range | None = Field(
        default=None, description="Numbers of nodes it can run on; `nodes` lies within.", examples=["1..4"]
    )
    duration: f.Durations = Field(
        default={},
        description="How long it will run, as far as known; by accelerator, where that makes a difference.",
        examples=["2h", "{H100: 6h, A100-80GB: 11h}"],
    )
    speeds: dict[f.Nonempty, Speed] = Field(
        default={},
        max_length=1000,
        description="What it gets done in a second on each of its accelerators, where nobody knows how long it runs. "
        "Policies that share accelerators over time go by it.",
        examples=["{H100: 2.3, A100-80GB: 1}"],
    )
    deadline: f.Instant | None = Field(
        default=None,
        description="When it should be done, as an instant or from now.",
        examples=["2026-12-01T09:00+08:00"],
    )
    checkpoint: Checkpoint | None = Field(
        default=None,
        description="How it saves its work, which tells what preemption costs.",
        examples=["{every: 15m}"],
    )
    outputs: list[f.Nonempty] = Field(
        default=[], max_length=1000, description="What it leaves behind.", examples=["[checkpoint]"]
    )
