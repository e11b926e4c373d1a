"""Documents of `kind: serve`: the fields that only services have."""

import re
from typing import Annotated, Literal, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from suanli.domain.workload import Access, Scaling, Service, Update
from suanli.spec import fields as f
from suanli.spec.problems import shown
from suanli.spec.workload_shape import Common

UPDATE, ACCESS, SCALING = Update(), Access(), Scaling()

Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Task = Literal[
    "text-generation",
    "embeddings",
    "text-classification",
    "image-classification",
    "speech-recognition",
    "tensors",
]


class SloShape(f.Shape):
    """What the service promises; what is left out is not promised."""

    p95: f.TimeSpan | None = Field(
        default=None, description="95 % of requests answered within.", examples=["200ms"]
    )
    ttft_p95: f.TimeSpan | None = Field(
        default=None, description="95 % of first tokens within.", examples=["500ms"]
    )
    tpot_p95: f.TimeSpan | None = Field(
        default=None, description="95 % of further tokens within.", examples=["25ms"]
    )
    availability: f.Share | None = Field(
        default=None, description="Share of requests answered.", examples=["99.9%"]
    )


class RuntimeShape(f.Shape):
    """What the model runs in, where no command is given."""

    name: Literal["transformers", "onnx", "python", "vllm"] = Field(
        description="`python` is code of your own; `vllm` must be installed where it runs.",
        examples=["transformers"],
    )
    task: Task | None = Field(default=None, description="Default: found from the model's files.")
    code: f.Nonempty | None = Field(
        default=None, description="Module and class, for `python`.", examples=["my_model:Model"]
    )
    batch: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Most requests worked on together.", examples=["16"]
    )
    batch_wait: f.TimeSpan | None = Field(
        default=None, description="How long a batch waits for more.", examples=["5ms"]
    )
    latency_max: f.TimeSpan | None = Field(
        default=None, description="What batches are made small enough for.", examples=["200ms"]
    )
    context: int | None = Field(
        default=None,
        ge=1,
        le=2**30,
        description="Most tokens of prompt and answer. Default: the model's own.",
        examples=["4096"],
    )
    quantization: Literal["fp8", "awq", "gptq", "compressed-tensors", "bitsandbytes"] | None = Field(
        default=None, description="For `vllm`.", examples=["fp8"]
    )


class GateShape(f.Shape):
    """What an evaluation of the model must have shown, as `suanli models evaluate` stores it."""

    suite: f.Nonempty = Field(description="The data set, by the name of its file.", examples=["reviews"])
    metric: f.Metric = Field(description="A figure of the evaluation.", examples=["accuracy"])
    at_least: f.Level | None = Field(
        default=None, description="The least that is good enough.", examples=["0.9"]
    )
    at_most: f.Level | None = Field(
        default=None, description="The most that is good enough.", examples=["20"]
    )
    not_worse_than_serving: f.Share | None = Field(
        default=None,
        description="By how much of the serving version's figure it may be worse, on the same data.",
        examples=["1%"],
    )


def _several(value: object) -> object:
    return [cast("object", value)] if isinstance(value, dict) else value


class UpdateShape(f.Shape):
    """How a new revision takes over."""

    strategy: Literal["rolling", "blue-green", "canary"] = Field(
        default="rolling",
        description="One replica after another, all at once beside the old ones, or by share of traffic.",
        examples=["canary"],
    )
    steps: list[f.Share] = Field(
        default=[1.0],
        min_length=1,
        max_length=100,
        description="Shares of traffic of a canary, growing to 100%.",
        examples=["[5%, 25%, 100%]"],
    )
    auto_rollback: bool = Field(
        default=True, description="Go back when it fails more than before, breaks the SLO, or does not start."
    )
    surge: int = Field(
        default=UPDATE.surge, ge=0, le=10_000, description="Replicas that a rolling update may have more."
    )
    unavailable: int = Field(
        default=UPDATE.unavailable, ge=0, le=10_000, description="Replicas that it may have fewer meanwhile."
    )
    window: f.TimeSpan = Field(
        default=UPDATE.window_s, description="How long each step is watched.", examples=["60s"]
    )
    requests: int = Field(
        default=UPDATE.requests_min,
        ge=1,
        le=10**9,
        description="Requests that a step should have seen; with fewer it is watched for three windows.",
    )
    error_rate: f.Share = Field(
        default=UPDATE.error_rate_max,
        description="Failed requests that are no reason to go back.",
        examples=["1%"],
    )
    ready_within: f.TimeSpan = Field(
        default=UPDATE.ready_s, description="How long a new replica may take to answer.", examples=["10m"]
    )
    gate: Annotated[
        tuple[GateShape, ...],
        BeforeValidator(_several, json_schema_input_type=GateShape | tuple[GateShape, ...]),
    ] = Field(
        default=(),
        max_length=20,
        description="What its model must have reached in an evaluation before it is accepted; one, or a list.",
        examples=["{suite: reviews, metric: accuracy, at_least: 0.9}"],
    )


Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class TokenPriceShape(f.Shape):
    """What keys pay for tokens, instead of for a replica's seconds."""

    tokens_in: Dollars = Field(
        default=0.0, description="US dollars for a million tokens of prompts.", examples=["0.15"]
    )
    tokens_out: Dollars = Field(
        default=0.0, description="US dollars for a million tokens of answers.", examples=["0.60"]
    )


class GatewayShape(f.Shape):
    """How requests reach the replicas."""

    balance: Literal["round-robin", "least-outstanding", "power-of-two", "weighted", "affinity"] = Field(
        default="least-outstanding",
        description="Which replica is chosen; `affinity` keeps a session, or a prompt's beginning, with one.",
        examples=["affinity"],
    )
    concurrency: int = Field(
        default=ACCESS.concurrency,
        ge=0,
        le=100_000,
        description="Most requests with one replica; 0: any number.",
    )
    queue: int = Field(
        default=ACCESS.queue, ge=0, le=1_000_000, description="Most requests that wait; further ones get 503."
    )
    queue_timeout: f.TimeSpan = Field(
        default=ACCESS.queue_s, description="How long one waits for a replica.", examples=["30s"]
    )
    hold: f.TimeSpan = Field(
        default=ACCESS.hold_s, description="How long one waits where no replica runs.", examples=["2m"]
    )
    deadline: f.TimeSpan = Field(
        default=ACCESS.deadline_s, description="How long a whole answer may take.", examples=["10m"]
    )
    idempotent: bool | None = Field(
        default=None,
        description="A request may be sent to another replica when one dies with it. Default: for `transformers`, "
        "`onnx` and `vllm` it may.",
    )
    hedge_after: f.TimeSpan | None = Field(
        default=None,
        description="When a second replica is asked the same, if idempotent.",
        examples=["300ms"],
    )
    body: f.Size = Field(default=ACCESS.body_bytes_max, description="Largest request.", examples=["16MiB"])
    price: TokenPriceShape | None = Field(
        default=None,
        description="What requests cost, for the budgets and the usage of keys. Default: the share of its node's price "
        "that a replica holds, by the second.",
        examples=["{tokens_in: 0.15, tokens_out: 0.60}"],
    )


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)


def _days(value: object) -> object:
    """`mon-fri`, `sat`, or a list of days; a range may go past Sunday."""
    if not isinstance(value, str):
        return value
    first, _, last = value.partition("-")
    if first not in DAYS or (last or first) not in DAYS:
        raise ValueError(f"expected days such as mon-fri or [sat, sun]; got {shown(value)}")
    start, end = DAYS.index(first), DAYS.index(last or first)
    return [DAYS[(start + i) % 7] for i in range((end - start) % 7 + 1)]


def _clock(value: object) -> float:
    said = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", value) if isinstance(value, str) else None
    if said is None:
        raise ValueError(f'expected a time of day such as "08:00"; got {shown(value)}')
    return 3600.0 * int(said[1]) + 60.0 * int(said[2])


def _timezone(value: object) -> str:
    try:
        return ZoneInfo(value if isinstance(value, str) else "").key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"expected a time zone such as UTC or Asia/Shanghai; got {shown(value)}") from None


class FloorShape(f.Shape):
    """From a time of day on, until the next entry begins."""

    at: Annotated[
        float, PlainValidator(_clock), WithJsonSchema({"type": "string", "format": "time of day"})
    ] = Field(description="When it begins.", examples=['"08:00"'])
    days: Annotated[tuple[Day, ...], BeforeValidator(_days, json_schema_input_type=str | tuple[Day, ...])] = (
        Field(
            default=DAYS,
            min_length=1,
            max_length=7,
            description="Default: all.",
            examples=["mon-fri", "[sat, sun]"],
        )
    )
    replicas: int = Field(ge=0, le=10_000, description="Fewest from then on.", examples=["4"])


class ScalingShape(f.Shape):
    """How many replicas there are, within `replicas`."""

    metric: Literal["auto", "slo", "concurrency", "rps", "queue", "utilisation", "schedule", "off"] = Field(
        default="auto",
        description="What decides: what the latencies of `slo` need, ongoing requests, requests per second, waiting "
        "requests, use of what replicas hold, `schedule` alone, or nobody. `auto` is `slo` where a latency is "
        "promised, else `concurrency`.",
        examples=["rps"],
    )
    target: f.Level | None = Field(
        default=None,
        description="What one replica shall have of the metric: requests, requests per second, or a share of use. "
        "Default: for `concurrency` 70 % of `gateway.concurrency` or 2, for `utilisation` 70 %.",
        examples=["8", "70%"],
    )
    upscale_delay: f.TimeSpan = Field(
        default=SCALING.upscale_delay_s,
        description="How long more replicas must have been wanted before they are added.",
        examples=["10s"],
    )
    downscale_delay: f.TimeSpan = Field(
        default=SCALING.downscale_delay_s,
        description="How long fewer must have been enough before any is ended.",
        examples=["5m"],
    )
    forecast: Literal["daily", "weekly", "off"] = Field(
        default="off",
        description="Replicas for what the last days or weeks had at this time, where that has foretold better than "
        "the present does.",
        examples=["daily"],
    )
    schedule: list[FloorShape] = Field(
        default=[],
        max_length=1000,
        description="Fewest replicas by time of day.",
    )
    timezone: Annotated[
        str, PlainValidator(_timezone), WithJsonSchema({"type": "string", "format": "time zone"})
    ] = Field(default="UTC", description="Of `schedule` and of `forecast`.", examples=["Asia/Shanghai"])
    to_zero_after: f.TimeSpan = Field(
        default=Service().idle_s,
        description="With `replicas: 0..N`: without a request for so long, none runs until the next one comes.",
        examples=["5m"],
    )


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class Serve(Common):
    """A service stays up and answers on a port."""

    kind: Literal["serve"] = Field(description="`serve`.")
    run: f.Argv = Field(
        default=(),
        description="The command that serves, as a list of words or a text that is split as a shell would, without a "
        "shell; not needed for a model with a runtime.",
        examples=["python serve.py"],
    )
    runtime: (
        Annotated[RuntimeShape, BeforeValidator(_named, json_schema_input_type=str | RuntimeShape)] | None
    ) = Field(
        default=None,
        description="What a model of the registry is served with, where no command is. Default: by its format.",
        examples=["transformers", "{name: python, code: my_model:Model}"],
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The port, also in $PORT. Default: Suanli picks one per replica.",
        examples=["8080"],
    )
    health: f.Nonempty | None = Field(
        default=None,
        description="Path that answers 200 when it is ready. Default: /healthz, of a runtime /readyz.",
        examples=["/healthz"],
    )
    replicas: f.Range = Field(
        default=(1, 1), description="How many, or from how many to how many. Default: 1.", examples=["1..4"]
    )
    scaling: ScalingShape = Field(default_factory=ScalingShape, description="When there are more or fewer.")
    slo: SloShape = Field(default_factory=SloShape, description="What it promises.")
    update: UpdateShape = Field(default_factory=UpdateShape, description="How a new revision takes over.")
    gateway: GatewayShape = Field(
        default_factory=GatewayShape, description="How requests reach the replicas."
    )
    drain: f.TimeSpan = Field(
        default=Service().drain_s,
        description="How long a replica that shall end may answer what it was asked.",
        examples=["30s"],
    )
