"""`/metrics`: the state of things as Prometheus text, built anew from values at every scrape."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from suanli.domain.alerts import Alert, AlertStatus
from suanli.domain.decision import Decision
from suanli.domain.fleet import Node
from suanli.domain.record import Status
from suanli.domain.resources import Share
from suanli.domain.world import World
from suanli.ports.telemetry import Telemetry
from suanli.telemetry.families import BY_NAME, FAMILIES, LOAD

CYCLE_BOUNDS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOAD_WINDOW_S = 60.0

_Sample = tuple[str, tuple[str, ...], float]


class LoopStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the control loop knows of itself. `cycles` counts cycles by the bound their time fell under, the last: over.

    `epoch` is 0 while another controller holds the lease.
    """

    now_s: float = 0.0
    epoch: int = 0
    cycles: tuple[int, ...] = (0,) * (len(CYCLE_BOUNDS_S) + 1)
    cycles_s: float = 0.0
    ready_nodes: frozenset[str] = frozenset()
    alerts: tuple[Alert, ...] = ()

    def with_cycle(self, took_s: float) -> "LoopStats":
        """After one more cycle."""
        under = next((i for i, bound in enumerate(CYCLE_BOUNDS_S) if took_s <= bound), len(CYCLE_BOUNDS_S))
        cycles = tuple(count + (i == under) for i, count in enumerate(self.cycles))
        return msgspec.structs.replace(self, cycles=cycles, cycles_s=self.cycles_s + took_s)


def render(world: World, decision: Decision | None, telemetry: Telemetry, stats: LoopStats) -> bytes:
    """Text exposition format 0.0.4. O(workloads + nodes)."""
    families = {family.name: Metric(family.name, family.help, family.kind) for family in FAMILIES}
    samples = itertools.chain(
        _nodes(world, stats), _load(telemetry, stats), _workloads(world, decision), _loop(stats)
    )
    for name, labels, value in samples:
        family = BY_NAME[name]
        suffix = "_total" if family.kind == "counter" else ""
        families[name].add_sample(name + suffix, dict(zip(family.labels, labels, strict=True)), value)
    _add_cycles(families["suanli_decision_cycle_seconds"], stats)
    return generate_latest(_Collected(families.values()))


class _Collected(Collector):
    """No registry: nothing is global, and a family without samples is left out."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = [family for family in families if family.samples]

    def collect(self) -> Iterable[Metric]:
        return self._families


def _nodes(world: World, stats: LoopStats) -> Iterator[_Sample]:
    held: dict[str, list[Share]] = {}
    for record in world.records.values():
        for placement in record.attempt.placements if record.attempt else ():
            held.setdefault(placement.node, []).append(placement.share)
    for node in world.fleet.nodes if world.fleet else ():
        yield "suanli_node_ready", (node.name,), node.name in stats.ready_nodes
        yield "suanli_node_cordoned", (node.name,), node.name in world.cordoned
        yield from _capacity(node, held.get(node.name, []))


def _capacity(node: Node, shares: list[Share]) -> Iterator[_Sample]:
    for name, capacity, used in (
        ("cpu_cores", node.cpus, sum(share.cpus for share in shares)),
        ("memory_bytes", node.memory_bytes, sum(share.memory_bytes for share in shares)),
        ("disk_bytes", node.disk_bytes, sum(share.disk_bytes for share in shares)),
        ("network_bits_per_second", node.network_bps, sum(share.network_bps for share in shares)),
    ):
        yield f"suanli_node_{name}", (node.name,), capacity
        yield f"suanli_node_free_{name}", (node.name,), max(0.0, capacity - used)
    in_use: defaultdict[str, float] = defaultdict(float)
    for share in shares:
        in_use[share.accelerator] += share.accelerator_count
    for model, count in Counter(node.accelerators).items():
        yield "suanli_node_accelerators", (node.name, model), count
        yield "suanli_node_free_accelerators", (node.name, model), max(0.0, count - in_use[model])


def _load(telemetry: Telemetry, stats: LoopStats) -> Iterator[_Sample]:
    for node, load in telemetry.node_load(LOAD_WINDOW_S, stats.now_s).items():
        for metric, value in load.items():
            if metric in LOAD:
                yield LOAD[metric], (node,), value


def _workloads(world: World, decision: Decision | None) -> Iterator[_Sample]:
    records = world.records.values()
    statuses = Counter(record.status for record in records)
    yield from (("suanli_workloads", (status.value,), statuses[status]) for status in Status)
    if decision:
        reasons = Counter(decision.reasons[index].token for index in decision.waiting.values())
        yield from (("suanli_workloads_waiting", (token,), n) for token, n in sorted(reasons.items()))
    yield "suanli_attempts", (), sum(record.attempts_made for record in records)
    yield "suanli_preemptions", (), sum(record.preemptions for record in records)
    yield "suanli_lost_seconds", (), sum(record.lost_s for record in records)


def _loop(stats: LoopStats) -> Iterator[_Sample]:
    yield "suanli_lease_epoch", (), stats.epoch
    firing = Counter((a.rule, a.severity) for a in stats.alerts if a.status is AlertStatus.FIRING)
    yield from (("suanli_alerts_firing", labels, count) for labels, count in sorted(firing.items()))


def _add_cycles(family: Metric, stats: LoopStats) -> None:
    bounds = [*map(str, CYCLE_BOUNDS_S), "+Inf"]
    buckets = list(zip(bounds, itertools.accumulate(stats.cycles), strict=True))
    told = HistogramMetricFamily(family.name, family.documentation, buckets=buckets, sum_value=stats.cycles_s)
    family.samples = told.samples
