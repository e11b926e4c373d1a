"""Quantities that nodes have and workloads ask for, in SI units."""

import msgspec


class AcceleratorDemand(msgspec.Struct, frozen=True):
    """`count` accelerators of one catalogue model on one node; below 1 it is a share of a single accelerator."""

    model: str
    count: float


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a workload asks for on each of its nodes. `accelerators` are alternatives: any one of them will do.

    The first is the most wanted, unless it is `indifferent` to which it gets.
    """

    cpus: float = 1.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    network_bps: float = 0.0
    accelerators: tuple[AcceleratorDemand, ...] = ()
    indifferent: bool = False


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one placement holds on one node: the demand with its accelerator chosen and its devices named.

    `devices` are indices into the node's accelerators; `device_share` is 1.0 for whole ones, else the fraction of
    the single device that is held.
    """

    cpus: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    network_bps: float = 0.0
    accelerator: str = ""
    devices: tuple[int, ...] = ()
    device_share: float = 1.0

    @property
    def accelerator_count(self) -> float:
        return len(self.devices) * self.device_share
