"""Documents of `kind: fleet`: their fields."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from suanli.spec import fields as f

COUNT_MAX = 100_000


class Disk(f.Shape):
    name: f.Nonempty = Field(description="Its name or mount point.", examples=["/dev/nvme0n1"])
    capacity: f.Size = Field(description="How much it holds.", examples=["7.68TB"])
    spins: bool = Field(default=False, description="Whether it is a spinning disk.")
    read: f.Bandwidth | None = Field(default=None, description="Sequential read rate.", examples=["3GB/s"])


def _size_alone(storage: object) -> object:
    return [{"name": "disk", "capacity": storage}] if isinstance(storage, str) else storage


Disks = Annotated[list[Disk], BeforeValidator(_size_alone, json_schema_input_type=f.Size | list[Disk])]


class PowerShape(f.Shape):
    idle: f.Watts | None = Field(default=None, description="Drawn when nothing runs.", examples=["120W"])
    max: f.PowerDraw | None = Field(
        default=None,
        description="Drawn at most, by the node or by each accelerator.",
        examples=["700W per accelerator"],
    )


class _NodeFields(f.Shape):
    name: f.Place = Field(description="The node's name, or what it begins with.", examples=["h100"])
    cpus: f.Cores = Field(description="CPU cores.", examples=["128"])
    memory: f.Size = Field(description="Main memory.", examples=["2TiB"])
    accelerators: f.Accelerators = Field(
        default=(), description="All that it has, by name and count.", examples=["H100:8"]
    )
    disk: f.Size | None = Field(
        default=None, description="Local disk for workloads. Default: all of `storage`.", examples=["30TiB"]
    )
    storage: Disks = Field(default=[], description="Its disks, or their size in all.", examples=["30TiB"])
    network: f.Bandwidth = Field(
        default=0.0, description="Bandwidth of its network interface.", examples=["400Gbps"]
    )
    site: f.Text = Field(default="", description="Where it stands.", examples=["berlin"])
    zone: f.Text = Field(default="", description="Part of the site.", examples=["a"])
    rack: f.Text = Field(default="", description="Rack within the zone.", examples=["rack-1"])
    labels: f.Labels = Field(
        default={}, description="For `node_labels` of workloads.", examples=["{disk: nvme}"]
    )
    price: f.Price | None = Field(
        default=None,
        description="US dollars per hour, for the node or for each accelerator. Default: the catalogue's prices of its "
        "accelerators.",
        examples=["24.8/h", "3.10/h per accelerator"],
    )
    power: PowerShape | None = Field(
        default=None, description="What it draws.", examples=["{idle: 120W, max: 1.2kW}"]
    )


class NodeShape(_NodeFields):
    """One machine, or `count` machines alike."""

    count: int = Field(
        default=1,
        ge=1,
        le=COUNT_MAX,
        description="So many, called `name-0`, `name-1` and so on; one keeps its name.",
    )


class TemplateShape(_NodeFields):
    """The node that the fleet grows by."""


class LinkShape(f.Shape):
    between: list[f.Nonempty] = Field(
        min_length=2,
        max_length=2,
        description="Two sites, zones, racks or nodes.",
        examples=["[berlin, paris]"],
    )
    bandwidth: f.Bandwidth = Field(description="What it carries.", examples=["10Gbps"])
    latency: f.TimeSpan = Field(default=0.0, description="One way.", examples=["8ms"])


class TeamShape(f.Shape):
    """A tenant."""

    quota: dict[f.Nonempty, f.Text] = Field(
        default={},
        max_length=1000,
        description="The most it may hold at once, by `cpus`, `memory` or an accelerator's name.",
        examples=["{cpus: 64, memory: 1TiB, H100: 16}"],
    )
    weight: float = Field(
        default=1.0, gt=0, le=1e6, allow_inf_nan=False, description="Its part of a fair share."
    )


class ScalingShape(f.Shape):
    """When the fleet itself may grow and shrink."""

    template: TemplateShape = Field(description="The node that is added, numbered like those of `nodes`.")
    max: int = Field(ge=1, le=COUNT_MAX, description="Most nodes to add.", examples=["8"])
    add_after: f.TimeSpan = Field(
        default=60.0, description="How long work must have waited for want of nodes.", examples=["1m"]
    )
    remove_after: f.TimeSpan = Field(
        default=600.0, description="How long an added node must have been empty.", examples=["10m"]
    )


class AcceleratorShape(f.Shape):
    """An accelerator that the catalogue lacks, or has differently."""

    name: f.Place = Field(description="Its name, as used in `accelerators`.", examples=["X1"])
    memory: f.Size = Field(description="Its own memory.", examples=["48GiB"])
    vendor: f.Text = Field(default="", description="Who makes it.")
    tdp: f.Watts | None = Field(default=None, description="Thermal design power.", examples=["350W"])
    price: f.Price | None = Field(
        default=None, description="US dollars per hour of one.", examples=["1.20/h"]
    )
    aliases: list[f.Place] = Field(
        default=[], max_length=32, description="Other names.", examples=["[x-one]"]
    )


class FleetShape(f.Shape):
    """The machines that may be used, and by whom."""

    kind: Literal["fleet"] = Field(description="`fleet`.")
    name: f.Place = Field(description="The fleet's name.", examples=["lab"])
    nodes: list[NodeShape] = Field(description="The machines.")
    links: list[LinkShape] = Field(default=[], description="What lies between them.")
    teams: dict[f.Place, TeamShape] = Field(default={}, max_length=10_000, description="Tenants by name.")
    scaling: ScalingShape | None = Field(
        default=None, description="When the fleet may grow and shrink by itself."
    )
    migrate: f.Share = Field(
        default=0.0,
        description="Defragmentation: running work is moved so that what fits nowhere fits, at most that part of all "
        "that was ever started.",
        examples=["1%"],
    )
    accelerators: list[AcceleratorShape] = Field(
        default=[], max_length=1000, description="The fleet's own accelerators, beside the catalogue's."
    )
