"""What a simulation used of the fleet: device time, money, energy."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from suanli.catalog.accelerators import load
from suanli.domain.fleet import Node
from suanli.domain.resources import Share
from suanli.sim.jobs import CORES
from suanli.sim.outcome import Outcome, Stay

HOUR_S = 3600.0
IDLE_SHARE = 0.12
"""What an idle accelerator draws of its TDP: V100, A100 and H100 idle at about 40 of 300, 50 of 400 and 70 of 700 W."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Over the span of the simulation. Shares are of all the fleet's devices of the kind, over all of the span.

    `allocated` counts from placement to end, `utilised` from the beginning of work, both by kind (accelerator model,
    cpus, memory) and for accelerators together under `accelerators`. `cost` is for what was held, `fleet_cost` for all
    nodes all the time, in US dollars. Devices without a known power draw count as drawing none.
    """

    span_s: float
    allocated: dict[str, float]
    utilised: dict[str, float]
    cost: float
    fleet_cost: float
    energy_kwh: float
    without_price: tuple[str, ...]
    without_power: tuple[str, ...]


def usage_of(outcome: Outcome, until_s: float) -> Usage:
    """O(nodes + placements)."""
    span_s = max(0.0, until_s - outcome.from_s)
    nodes = {node.name: node for node in outcome.fleet.nodes}
    held: dict[str, float] = defaultdict(float)
    worked: dict[str, float] = defaultdict(float)
    busy_s: dict[str, float] = defaultdict(float)
    for stay in outcome.stays:
        held_s, worked_s = stay.ended_s - stay.placed_s, max(0.0, stay.ended_s - stay.started_s)
        for placement in stay.placements:
            for kind, amount in _amounts(placement.share).items():
                held[kind] += amount * held_s
                worked[kind] += amount * worked_s
            busy_s[placement.node] += part(nodes[placement.node], placement.share) * held_s
    capacity = _capacity(outcome)
    return Usage(
        span_s=span_s,
        allocated={kind: _share(held[kind], all_ * span_s) for kind, all_ in capacity.items()},
        utilised={kind: _share(worked[kind], all_ * span_s) for kind, all_ in capacity.items()},
        cost=sum(nodes[name].price_per_hour * part_s for name, part_s in busy_s.items()) / HOUR_S,
        fleet_cost=sum(node.price_per_hour for node in outcome.fleet.nodes) * span_s / HOUR_S,
        energy_kwh=sum(_energy_j(node, busy_s[name], span_s) for name, node in nodes.items()) / 3.6e6,
        without_price=_kinds_of(node for node in nodes.values() if not node.price_per_hour),
        without_power=_kinds_of(node for node in nodes.values() if not power_w(node)[1]),
    )


def lost_device_s(outcome: Outcome) -> float:
    """Device time whose work was done again: that of each record, by the devices of its last stay. O(stays)."""
    last: dict[str, Stay] = {stay.key: stay for stay in outcome.stays}
    return sum(
        record.lost_s * sum(placement.share.accelerator_count for placement in last[record.key].placements)
        for record in outcome.records
        if record.lost_s and record.key in last
    )


def _amounts(share: Share) -> dict[str, float]:
    amounts = {CORES: share.cpus, "memory": float(share.memory_bytes)}
    if share.devices:
        amounts |= {share.accelerator: share.accelerator_count, "accelerators": share.accelerator_count}
    return amounts


def _capacity(outcome: Outcome) -> dict[str, float]:
    """By kind, accelerators together first; a kind that the fleet lacks is none."""
    capacity: dict[str, float] = defaultdict(float)
    for node in outcome.fleet.nodes:
        capacity["accelerators"] += len(node.accelerators)
        for model in node.accelerators:
            capacity[model] += 1.0
    for node in outcome.fleet.nodes:
        capacity[CORES] += node.cpus
        capacity["memory"] += node.memory_bytes
    return {kind: amount for kind, amount in capacity.items() if amount}


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def part(node: Node, share: Share) -> float:
    """The part of a node that a share of it is worth: by its devices, or without any by its cores."""
    if node.accelerators:
        return share.accelerator_count / len(node.accelerators)
    return share.cpus / node.cpus if node.cpus else 0.0


def power_w(node: Node) -> tuple[float, float]:
    """What a node draws idle and with all in use: as declared, else by the TDP of its accelerators."""
    known = (load().lookup(model) for model in node.accelerators)
    tdp_w = sum((entry.tdp_w or 0.0) for entry in known if entry)
    max_w = tdp_w if node.max_power_w is None else node.max_power_w
    idle_w = IDLE_SHARE * max_w if node.idle_power_w is None else node.idle_power_w
    return idle_w, max(idle_w, max_w)


def _energy_j(node: Node, busy_s: float, span_s: float) -> float:
    idle_w, max_w = power_w(node)
    return idle_w * span_s + (max_w - idle_w) * busy_s


def _kinds_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """What those nodes are: their accelerator models, or plain nodes."""
    return tuple(
        dict.fromkeys(model for node in nodes for model in (node.accelerators or ("nodes of cores",)))
    )
