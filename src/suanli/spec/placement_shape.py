"""Documents of `kind: problem`: their fields."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from suanli.spec import fields as f
from suanli.spec.fleet_shape import COUNT_MAX
from suanli.spec.workload_shape import NODES_MAX, Resources

USD_MAX = 1e12
DURATION_S = 3600.0


class ProblemNodeShape(f.Shape):
    """Identical nodes."""

    name: f.Place = Field(description="What they are called.", examples=["h100"])
    count: int = Field(default=1, ge=1, le=COUNT_MAX, description="How many.", examples=["32"])
    cpus: f.Cores = Field(default=0.0, description="CPU cores of one.", examples=["128"])
    memory: f.Size = Field(default=0, description="Main memory of one.", examples=["2TiB"])
    disk: f.Size = Field(default=0, description="Local disk of one.", examples=["30TiB"])
    network: f.Bandwidth = Field(default=0.0, description="Network bandwidth of one.", examples=["400Gbps"])
    accelerators: f.Accelerators = Field(
        default=(), description="Accelerators of one, by name and count.", examples=["H100:8"]
    )
    price: f.Price | None = Field(
        default=None,
        description="US dollars per hour of a whole one, or of each accelerator. A workload pays for the largest "
        "share that it holds of any resource. Default: the catalogue's prices of its accelerators.",
        examples=["24.8/h", "3.10/h per accelerator"],
    )
    opening: float = Field(
        default=0.0,
        ge=0,
        lt=USD_MAX,
        allow_inf_nan=False,
        description="US dollars paid once for one on which anything runs.",
        examples=["5"],
    )


Dollars = Annotated[float, Field(ge=0, lt=USD_MAX, allow_inf_nan=False)]
Costs = Annotated[
    dict[f.Nonempty, Dollars],
    BeforeValidator(f.for_all, json_schema_input_type=Dollars | dict[f.Nonempty, Dollars]),
    Field(max_length=1000),
]


class ProblemWorkloadShape(f.Shape):
    """One workload of the problem."""

    name: f.Place = Field(description="Its name.", examples=["gpt"])
    nodes: int = Field(
        default=1, ge=1, le=NODES_MAX, description="Nodes of the gang, alike and distinct.", examples=["4"]
    )
    resources: Resources = Field(default_factory=Resources, description="What it holds on each of its nodes.")
    duration: f.Durations = Field(
        default_factory=lambda: {"*": DURATION_S},
        description="How long it runs, the same everywhere or by name of the nodes or of their accelerator; on nodes "
        "that are not named it cannot run. Default: 1h.",
        examples=["2h", "{H100: 2h, A100-80GB: 4h30m}"],
    )
    cost: Costs = Field(
        default={},
        description="US dollars for each of its nodes, likewise. Default: by the price of the nodes.",
        examples=["12", "{h100: 12, a100: 15}"],
    )
    value: float | None = Field(
        default=None,
        ge=0,
        lt=USD_MAX,
        allow_inf_nan=False,
        description="What it is worth to run it. Default: the share of all nodes' resources that it uses.",
        examples=["10"],
    )


class WeightsShape(f.Shape):
    """A mix of objectives: what a unit of each is worth."""

    cost: float = Field(
        default=0.0, ge=0, lt=1e9, allow_inf_nan=False, description="Weight of a US dollar.", examples=["1"]
    )
    hours: float = Field(
        default=0.0,
        ge=0,
        lt=1e9,
        allow_inf_nan=False,
        description="Weight of an hour until the last ends. Above 0 workloads may wait for one another.",
        examples=["20"],
    )
    value: float = Field(
        default=0.0,
        ge=0,
        lt=1e9,
        allow_inf_nan=False,
        description="Weight of a unit of value. Above 0 workloads may be left out.",
        examples=["1"],
    )


class ProblemShape(f.Shape):
    """A one-shot question: which workload on which nodes, and when; for `suanli solve`."""

    kind: Literal["problem"] = Field(description="`problem`.")
    name: f.Name = Field(description="Its name.", examples=["tonight"])
    objective: Literal["min-cost", "min-completion-time", "max-utilisation"] = Field(
        default="min-cost",
        description="`min-cost`: all run at once, for the least money. `min-completion-time`: all run, one after "
        "another where need be, so that the last ends soonest. `max-utilisation`: of what can run at once, the most "
        "valuable.",
    )
    weights: WeightsShape | None = Field(
        default=None,
        description="Instead of `objective`, a mix: cost and hours less value, each times its weight, are to be "
        "least.",
        examples=["{cost: 1, hours: 20}"],
    )
    nodes: list[ProblemNodeShape] = Field(
        min_length=1, max_length=1000, description="The machines, by kinds that are alike."
    )
    workloads: list[ProblemWorkloadShape] = Field(
        min_length=1, max_length=10_000, description="What is to run."
    )
