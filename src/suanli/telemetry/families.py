"""The families of `/metrics`: names with units, what they mean, and which label is which."""

from typing import Literal

import msgspec


class Family(msgspec.Struct, frozen=True):
    """`name` is without the `_total` that counters end in."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


def _node(name: str, meaning: str, *labels: str) -> Family:
    return Family(f"suanli_node_{name}", "gauge", meaning, ("node", *labels))


FAMILIES = (
    _node("ready", "1 if the engine reaches the node and work can be placed there, else 0."),
    _node("cordoned", "1 if nothing new is placed on the node, else 0."),
    _node("cpu_cores", "CPU cores that the fleet declares."),
    _node("free_cpu_cores", "CPU cores that no attempt holds."),
    _node("memory_bytes", "Memory that the fleet declares."),
    _node("free_memory_bytes", "Memory that no attempt holds."),
    _node("disk_bytes", "Disk space that the fleet declares."),
    _node("free_disk_bytes", "Disk space that no attempt holds."),
    _node("network_bits_per_second", "Network bandwidth that the fleet declares."),
    _node("free_network_bits_per_second", "Network bandwidth that no attempt holds."),
    _node("accelerators", "Accelerators of a model that the fleet declares.", "model"),
    _node("free_accelerators", "Accelerators that no attempt holds, shares counted.", "model"),
    _node("cpu_used_ratio", "CPU in use, of the whole node."),
    _node("memory_used_ratio", "Memory in use, of the whole node."),
    _node("memory_used_bytes", "Memory in use."),
    _node("disk_used_ratio", "Disk space in use where the working folder lies."),
    _node("disk_bytes_per_second", "Read from and written to disks."),
    _node("network_used_ratio", "The fuller direction of the network, of its speed."),
    _node("network_bytes_per_second", "Received and sent."),
    _node("accelerator_used_ratio", "Accelerators in use, mean over the node's devices."),
    _node("accelerator_memory_used_bytes", "Accelerator memory in use, sum over the node's devices."),
    _node("accelerator_power_watts", "Power drawn by the node's accelerators."),
    Family("suanli_workloads", "gauge", "Workloads by status; each service replica counts.", ("status",)),
    Family(
        "suanli_workloads_waiting", "gauge", "Workloads that wait, by their dominant reason.", ("reason",)
    ),
    Family("suanli_attempts", "counter", "Attempts begun."),
    Family("suanli_preemptions", "counter", "Attempts ended to make room for others."),
    Family(
        "suanli_lost_seconds", "counter", "Running time lost since the last checkpoints of ended attempts."
    ),
    Family("suanli_decision_cycle_seconds", "histogram", "Time that a decision cycle took."),
    Family("suanli_lease_epoch", "gauge", "Epoch of the lease this controller holds, 0 if it holds none."),
    Family(
        "suanli_alerts_firing", "gauge", "Nodes and workloads for which a rule fires.", ("rule", "severity")
    ),
)

BY_NAME = {family.name: family for family in FAMILIES}

LOAD = {
    "cpu_fraction": "suanli_node_cpu_used_ratio",
    "memory_fraction": "suanli_node_memory_used_ratio",
    "memory_used_bytes": "suanli_node_memory_used_bytes",
    "disk_fraction": "suanli_node_disk_used_ratio",
    "disk_bytes_per_s": "suanli_node_disk_bytes_per_second",
    "network_fraction": "suanli_node_network_used_ratio",
    "network_bytes_per_s": "suanli_node_network_bytes_per_second",
    "accelerator_fraction": "suanli_node_accelerator_used_ratio",
    "accelerator_memory_bytes": "suanli_node_accelerator_memory_used_bytes",
    "power_w": "suanli_node_accelerator_power_watts",
}
"""From a node's metric, as `readings` names it, to its family."""
