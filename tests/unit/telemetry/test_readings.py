import pytest

from suanli.domain.fleet import Node
from suanli.domain.observation import AttemptView, NodeSample, Phase, Progress, WorkerView
from suanli.telemetry import readings
from suanli.telemetry.readings import ProgressReader

SAMPLE = NodeSample(
    node="n1",
    at_s=0.0,
    cpu_fraction=0.5,
    memory_used_bytes=300,
    disk_used_fraction=0.2,
    disk_read_bytes_per_s=10.0,
    disk_write_bytes_per_s=5.0,
    network_received_bytes_per_s=100.0,
    network_sent_bytes_per_s=400.0,
    accelerator_fraction=(0.25, 0.75),
    accelerator_memory_bytes=(10, 30),
    power_w=800.0,
)


def test_a_known_node_has_every_metric_and_each_is_documented():
    node = Node(name="n1", cpus=4, memory_bytes=1_000, network_bps=16_000.0)
    assert readings.of_node(SAMPLE, node) == {
        "cpu_fraction": 0.5,
        "memory_used_bytes": 300.0,
        "memory_fraction": 0.3,
        "disk_fraction": 0.2,
        "disk_bytes_per_s": 15.0,
        "network_bytes_per_s": 500.0,
        "network_fraction": 0.2,  # 400 B/s of 2,000
        "accelerator_fraction": 0.5,
        "accelerator_memory_bytes": 40.0,
        "power_w": 800.0,
    }
    assert readings.of_node(SAMPLE, node).keys() == readings.NODE_METRICS.keys()


def test_without_knowing_what_a_node_has_there_are_no_fractions_of_it():
    metrics = readings.of_node(SAMPLE, None)
    assert metrics.keys().isdisjoint({"memory_fraction", "network_fraction"})


def test_workers_add_up_and_every_metric_is_documented():
    workers = (
        WorkerView(rank=0, node="a", cpu_fraction=0.5, rss_bytes=10, accelerator_fraction=0.2),
        WorkerView(rank=1, node="b", cpu_fraction=1.0, rss_bytes=20, accelerator_memory_bytes=7),
    )
    metrics = readings.of_workers(AttemptView(key="w", number=1, phase=Phase.RUNNING, workers=workers))
    assert metrics == {
        "cpu_cores": 1.5,
        "rss_bytes": 30.0,
        "held_accelerator_fraction": 0.2,
        "held_accelerator_memory_bytes": 7.0,
    }
    told = ProgressReader(1).take(Progress(step=1, metrics={}), 0.0)
    assert (metrics.keys() | told.keys()) <= readings.WORKLOAD_METRICS.keys()


def test_the_step_rate_is_that_of_the_last_two_reports_and_falls_when_the_next_is_overdue():
    reader = ProgressReader(1)
    assert "steps_per_s" not in reader.take(Progress(step=0, at_s=0.0), 0.5)
    second = Progress(step=20, at_s=10.0)
    assert reader.take(second, 10.5)["steps_per_s"] == 2.0
    assert reader.take(second, 15.0)["steps_per_s"] == 2.0  # not due yet
    assert reader.take(second, 50.5)["steps_per_s"] == 0.5  # 20 steps in 40 s at best
    assert reader.take(Progress(step=21, at_s=60.0), 60.5)["steps_per_s"] == pytest.approx(1 / 50)


def test_a_program_that_begins_anew_has_no_rate_until_its_next_step():
    reader = ProgressReader(1)
    reader.take(Progress(step=10, at_s=0.0), 0.0)
    reader.take(Progress(step=20, at_s=10.0), 10.0)
    assert "steps_per_s" not in reader.take(Progress(step=3, at_s=20.0), 20.0)
    assert reader.take(Progress(step=13, at_s=25.0), 25.0)["steps_per_s"] == 2.0


def test_a_rate_survives_a_wall_clock_that_jumps_back():
    reader = ProgressReader(1)
    reader.take(Progress(step=10, at_s=1_000.0), 0.0)
    assert reader.take(Progress(step=20, at_s=700.0), 5.0)["steps_per_s"] == 2.0


def test_own_metrics_are_told_once_per_report_and_only_if_finite():
    reader = ProgressReader(1)
    report = Progress(step=1, metrics={"loss": 3.0, "bad": float("inf")}, at_s=1.0)
    assert reader.take(report, 1.0) == {"step": 1.0, "metric:loss": 3.0}
    assert reader.take(report, 2.0) == {"step": 1.0}
    later = Progress(step=1, metrics={"loss": 2.0}, at_s=2.5)
    assert reader.take(later, 3.0) == {"step": 1.0, "metric:loss": 2.0}
