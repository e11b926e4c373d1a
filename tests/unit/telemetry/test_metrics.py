import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from suanli.domain.alerts import Alert, AlertStatus
from suanli.domain.decision import Decision
from suanli.domain.fleet import Fleet, Node
from suanli.domain.observation import NodeSample
from suanli.domain.reasons import ReasonCode, reason
from suanli.domain.record import Attempt, Placement, Record, Status
from suanli.domain.resources import Share
from suanli.domain.workload import Kind, Workload
from suanli.domain.world import World
from suanli.ports.scripted_telemetry import ScriptedTelemetry
from suanli.telemetry.families import FAMILIES, LOAD
from suanli.telemetry.history import History
from suanli.telemetry.metrics import LoopStats, render
from suanli.telemetry.readings import NODE_METRICS
from suanli.telemetry.reference import reference

PAGE = Path(__file__).parents[3] / "docs/reference/metrics.md"

NODE = Node(
    name="n1",
    cpus=8,
    memory_bytes=1_000,
    accelerators=("T4", "T4", "A100-80GB"),
    disk_bytes=500,
    network_bps=1e9,
)


def record(key: str, status: Status, *shares: Share, **fields) -> Record:
    placements = tuple(Placement("n1", share) for share in shares)
    attempt = Attempt(number=1, placements=placements, placed_s=0.0) if shares else None
    return Record(
        key=key,
        workload=Workload(name=key, kind=Kind.JOB, run=("true",)),
        seq=1,
        submitted_s=0.0,
        waiting_since_s=0.0,
        status=status,
        attempt=attempt,
        **fields,
    )


def world(*records: Record, nodes: Iterable[Node] = (NODE,)) -> World:
    fleet = Fleet(name="f", nodes=tuple(nodes))
    return World(records={record.key: record for record in records}, fleet=fleet, cordoned={"n2": False})


def told(
    state: World,
    decision: Decision | None = None,
    telemetry: ScriptedTelemetry | None = None,
    stats: LoopStats | None = None,
) -> dict[tuple[str, ...], float]:
    """Sample name and label values, as a scraper reads them."""
    text = render(state, decision, telemetry or ScriptedTelemetry(), stats or LoopStats()).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_node_s_readiness_capacity_and_what_is_free():
    half_a_t4 = Share(cpus=1.5, memory_bytes=100, accelerator="T4", devices=(0,), device_share=0.5)
    whole = Share(cpus=2, disk_bytes=50, network_bps=1e8, accelerator="A100-80GB", devices=(2,))
    state = world(record("a", Status.RUNNING, half_a_t4), record("b", Status.STOPPING, whole))
    samples = told(state, stats=LoopStats(ready_nodes=frozenset({"n1"})))
    node = {
        name.removeprefix("suanli_node_"): value
        for (name, *labels), value in samples.items()
        if labels == ["n1"]
    }
    assert node == {
        "ready": 1,
        "cordoned": 0,
        "cpu_cores": 8,
        "free_cpu_cores": 4.5,
        "memory_bytes": 1_000,
        "free_memory_bytes": 900,
        "disk_bytes": 500,
        "free_disk_bytes": 450,
        "network_bits_per_second": 1e9,
        "free_network_bits_per_second": 9e8,
    }
    assert samples["suanli_node_accelerators", "T4", "n1"] == 2
    assert samples["suanli_node_free_accelerators", "T4", "n1"] == 1.5
    assert samples["suanli_node_free_accelerators", "A100-80GB", "n1"] == 0


def test_a_node_that_is_not_seen_is_not_ready_and_a_cordoned_one_is_told():
    samples = told(world(nodes=[NODE, msgspec.structs.replace(NODE, name="n2")]))
    assert samples["suanli_node_ready", "n1"] == 0
    assert samples["suanli_node_cordoned", "n2"] == 1


def test_load_is_told_where_it_is_measured_and_left_out_where_it_is_not():
    telemetry = ScriptedTelemetry()
    telemetry.set_node("n1", cpu_fraction=0.5, power_w=300.0)
    telemetry.record(100.0, [], [])
    samples = told(world(), telemetry=telemetry, stats=LoopStats(now_s=120.0))
    assert samples["suanli_node_cpu_used_ratio", "n1"] == 0.5
    assert samples["suanli_node_accelerator_power_watts", "n1"] == 300.0
    assert ("suanli_node_memory_used_ratio", "n1") not in samples
    assert ("suanli_node_cpu_used_ratio", "n1") not in told(
        world(), telemetry=telemetry, stats=LoopStats(now_s=999.0)
    )


def test_workloads_by_status_those_waiting_by_reason_and_what_it_has_cost():
    state = world(
        record("a", Status.RUNNING, Share(), attempts_made=3, preemptions=2, lost_s=12.5),
        record("b", Status.WAITING, attempts_made=1, lost_s=0.5),
        record("c", Status.WAITING),
    )
    decision = Decision(
        policy="p", at_s=0.0, reasons=(reason(ReasonCode.RESOURCES_BUSY),), waiting={"b": 0, "c": 0}
    )
    samples = told(state, decision)
    assert samples["suanli_workloads", "running"] == 1
    assert samples["suanli_workloads", "waiting"] == 2
    assert samples["suanli_workloads", "failed"] == 0
    assert samples["suanli_workloads_waiting", "ResourcesBusy"] == 2
    assert samples["suanli_attempts_total",] == 4
    assert samples["suanli_preemptions_total",] == 2
    assert samples["suanli_lost_seconds_total",] == 13.0


def test_the_loop_tells_its_cycles_its_lease_and_what_fires():
    firing = Alert(rule="hot", subject="n1", status=AlertStatus.FIRING, value=1.0, since_s=0.0)
    alerts = (
        firing,
        msgspec.structs.replace(firing, subject="n2"),
        msgspec.structs.replace(firing, rule="idle", status=AlertStatus.RESOLVED),
    )
    stats = (
        LoopStats(epoch=7, alerts=alerts).with_cycle(0.004).with_cycle(0.005).with_cycle(0.3).with_cycle(99.0)
    )
    samples = told(world(), stats=stats)
    cycle = "suanli_decision_cycle_seconds"
    assert [samples[f"{cycle}_bucket", le] for le in ("0.005", "0.01", "0.25", "0.5", "10.0", "+Inf")] == [
        2,
        2,
        2,
        3,
        3,
        4,
    ]
    assert samples[f"{cycle}_count",] == 4
    assert samples[f"{cycle}_sum",] == pytest.approx(99.309)
    assert samples["suanli_lease_epoch",] == 7
    assert samples["suanli_alerts_firing", "hot", "warning"] == 2
    assert not any(sample[:2] == ("suanli_alerts_firing", "idle") for sample in samples)


def test_every_family_says_its_type_and_meaning():
    telemetry = ScriptedTelemetry()
    telemetry.set_node("n1", **dict.fromkeys(LOAD, 0.5))
    telemetry.record(0.0, [], [])
    firing = Alert(rule="hot", subject="n1", status=AlertStatus.FIRING, value=1.0, since_s=0.0)
    decision = Decision(policy="p", at_s=0.0, reasons=(reason(ReasonCode.HELD),), waiting={"b": 0})
    text = render(world(), decision, telemetry, LoopStats(alerts=(firing,))).decode()
    parsed = {family.name: family for family in text_string_to_metric_families(text)}
    assert parsed.keys() == {family.name for family in FAMILIES}
    for family in FAMILIES:
        assert (parsed[family.name].type, parsed[family.name].documentation) == (family.kind, family.help)
        assert family.name.startswith("suanli_")


def test_labels_that_need_escaping_come_back_as_they_were():
    name = 'a"b\\c\nd'
    samples = told(world(nodes=[msgspec.structs.replace(NODE, name=name)]))
    assert samples["suanli_node_cpu_cores", name] == 8


def test_before_anything_is_known_there_is_still_an_answer():
    samples = told(World())
    assert samples["suanli_workloads", "running"] == 0
    assert samples["suanli_lease_epoch",] == 0


def test_two_renderings_of_the_same_are_the_same():
    arguments = world(), None, ScriptedTelemetry(), LoopStats()
    assert render(*arguments) == render(*arguments)


def test_every_node_metric_has_its_family():
    assert LOAD.keys() == NODE_METRICS.keys()


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "renew it: python -c 'from suanli.telemetry.reference import reference; print(reference(), end=\"\")' "
        "> docs/reference/metrics.md"
    )


def test_a_hundred_nodes_and_ten_thousand_workloads_are_rendered_in_less_than_half_a_second_of_cpu():
    nodes = [msgspec.structs.replace(NODE, name=f"n{number}") for number in range(100)]
    state = world(*(record(f"w{number}", Status.WAITING) for number in range(10_000)), nodes=nodes)
    history = History()
    sample = NodeSample(node="", at_s=0.0, cpu_fraction=0.5, memory_used_bytes=1, disk_used_fraction=0.1)
    history.record(0.0, [msgspec.structs.replace(sample, node=node.name) for node in nodes], [])
    before_s = time.thread_time()
    render(state, None, history, LoopStats())
    assert time.thread_time() - before_s < 0.5
