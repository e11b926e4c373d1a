"""The hardware layer: nodes, what they have, what lies between them, and who may use how much of it."""

import msgspec


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """A disk: capacity in bytes, whether it spins, and its sequential read rate where known."""

    name: str
    capacity_bytes: int
    spins: bool = False
    read_bytes_per_s: float | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as Suanli may use it. `accelerators` names the model of each device, in device order."""

    name: str
    cpus: float
    memory_bytes: int
    accelerators: tuple[str, ...] = ()
    disk_bytes: int = 0
    storage: tuple[Storage, ...] = ()
    network_bps: float = 0.0
    site: str = ""
    zone: str = ""
    rack: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    price_per_hour: float = 0.0
    idle_power_w: float | None = None
    max_power_w: float | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A connection between two zones, sites or nodes, by name."""

    ends: tuple[str, str]
    bandwidth_bps: float
    latency_s: float = 0.0


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant: `quota` is the most it may hold at once, by resource (`cpus`, `memory_bytes` or accelerator model)."""

    name: str
    weight: float = 1.0
    quota: dict[str, float] = msgspec.field(default_factory=dict[str, float])


class NodeScaling(msgspec.Struct, frozen=True, kw_only=True):
    """When the fleet itself may grow and shrink: up to `nodes_max` copies of `template`."""

    template: Node
    nodes_max: int
    add_after_s: float = 60.0
    remove_after_s: float = 600.0


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """All that may be used. Accelerator prices and powers come from the catalogue unless a node declares its own.

    `migrate` is the part of all workloads that have been started of which each may be moved once, so that another fits.
    """

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...] = ()
    teams: tuple[Team, ...] = ()
    scaling: NodeScaling | None = None
    migrate: float = 0.0

    def team(self, name: str) -> Team:
        """The declared team, or one without limits."""
        return next((team for team in self.teams if team.name == name), Team(name=name))
