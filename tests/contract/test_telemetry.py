"""What any Telemetry does."""

import pytest

from suanli.domain.observation import AttemptView, NodeSample, Phase, Progress, WorkerView
from suanli.ports.scripted_telemetry import ScriptedTelemetry
from suanli.ports.telemetry import Telemetry
from suanli.telemetry.history import History


@pytest.fixture(params=[ScriptedTelemetry, History])
def telemetry(request: pytest.FixtureRequest) -> Telemetry:
    return request.param()


def sample(node: str, at_s: float, cpu: float = 0.5, accelerators: tuple[float, ...] = ()) -> NodeSample:
    return NodeSample(
        node=node,
        at_s=at_s,
        cpu_fraction=cpu,
        memory_used_bytes=2**30,
        disk_used_fraction=0.25,
        accelerator_fraction=accelerators,
    )


def attempt(key: str, *workers: WorkerView, phase: Phase = Phase.RUNNING, **fields) -> AttemptView:
    return AttemptView(key=key, number=1, phase=phase, workers=workers, **fields)


def worker(rank: int = 0, cpu: float = 0.0, accelerator: float | None = None) -> WorkerView:
    return WorkerView(rank=rank, node="n1", alive=True, cpu_fraction=cpu, accelerator_fraction=accelerator)


def test_a_node_s_load_is_its_mean_over_the_window(telemetry: Telemetry):
    for at_s, cpu in ((0.0, 1.0), (100.0, 0.2), (101.0, 0.4)):
        telemetry.record(at_s, [sample("n1", at_s, cpu)], [])
    load = telemetry.node_load(60.0, 101.0)
    assert load["n1"]["cpu_fraction"] == pytest.approx(0.3)
    assert load["n1"]["disk_fraction"] == pytest.approx(0.25)


def test_a_node_without_a_sample_in_the_window_is_unknown_rather_than_idle(telemetry: Telemetry):
    telemetry.record(0.0, [sample("n1", 0.0), sample("n2", 0.0)], [])
    telemetry.record(100.0, [sample("n2", 100.0)], [])
    assert telemetry.node_load(60.0, 100.0).keys() == {"n2"}
    assert telemetry.node_load(60.0, 500.0) == {}


def test_what_a_node_cannot_measure_is_absent_and_accelerators_are_averaged(telemetry: Telemetry):
    telemetry.record(0.0, [sample("bare", 0.0), sample("gpus", 0.0, accelerators=(0.2, 0.8))], [])
    load = telemetry.node_load(60.0, 0.0)
    assert "accelerator_fraction" not in load["bare"]
    assert load["gpus"]["accelerator_fraction"] == pytest.approx(0.5)


def test_a_workload_uses_the_cores_of_all_its_workers(telemetry: Telemetry):
    telemetry.record(0.0, [], [attempt("train", worker(0, 0.5), worker(1, 1.5))])
    telemetry.record(1.0, [], [attempt("train", worker(0, 1.0), worker(1, 2.0))])
    assert telemetry.workload_use(60.0, 1.0) == {"train": pytest.approx(2.5)}


def test_a_workload_that_holds_accelerators_is_measured_by_them(telemetry: Telemetry):
    workers = worker(0, 1.0, 0.9), worker(1, 1.0, 0.7)
    telemetry.record(0.0, [], [attempt("train", *workers)])
    assert telemetry.workload_use(60.0, 0.0) == {"train": pytest.approx(0.8)}


def test_an_attempt_that_is_being_stopped_still_uses_what_it_uses(telemetry: Telemetry):
    telemetry.record(0.0, [], [attempt("train", worker(0, 1.0), phase=Phase.STOPPING)])
    assert telemetry.workload_use(60.0, 0.0) == {"train": pytest.approx(1.0)}


@pytest.mark.parametrize("phase", [Phase.CREATING, Phase.LOST, Phase.ENDED])
def test_an_attempt_that_is_not_running_for_certain_has_no_use(telemetry: Telemetry, phase: Phase):
    telemetry.record(0.0, [], [attempt("train", worker(0, 1.0), phase=phase)])
    assert telemetry.workload_use(60.0, 0.0) == {}


def test_a_series_is_in_order_and_begins_where_it_was_asked_to(telemetry: Telemetry):
    for at_s in (0.0, 1.0, 2.0):
        telemetry.record(at_s, [sample("n1", at_s, at_s / 10)], [])
    assert list(telemetry.series("n1", "cpu_fraction", 1.0)) == [(1.0, 0.1), (2.0, 0.2)]
    assert list(telemetry.series("n1", "metric:loss", 0.0)) == []
    assert list(telemetry.series("nobody", "cpu_fraction", 0.0)) == []


def test_what_the_program_reports_becomes_a_series(telemetry: Telemetry):
    for at_s, loss in ((0.0, 4.0), (1.0, 3.0)):
        report = Progress(step=1, metrics={"loss": loss}, at_s=at_s)
        telemetry.record(at_s, [], [attempt("train", worker(), progress=report)])
    assert list(telemetry.series("train", "metric:loss", 0.0)) == [(0.0, 4.0), (1.0, 3.0)]


def test_subjects_are_those_that_have_reported_the_metric(telemetry: Telemetry):
    report = Progress(metrics={"loss": 1.0}, at_s=0.0)
    telemetry.record(
        0.0,
        [sample("n1", 0.0), sample("n2", 0.0, accelerators=(1.0,))],
        [attempt("train", worker(cpu=1.0), progress=report), attempt("other", worker(cpu=1.0))],
    )
    assert set(telemetry.subjects("cpu_fraction")) == {"n1", "n2"}
    assert set(telemetry.subjects("accelerator_fraction")) == {"n2"}
    assert set(telemetry.subjects("cpu_cores")) == {"train", "other"}
    assert set(telemetry.subjects("metric:loss")) == {"train"}


def test_what_is_held_stays_bounded(telemetry: Telemetry):
    for at_s in range(3_000):
        telemetry.record(float(at_s), [sample("n1", float(at_s))], [])
    points = telemetry.series("n1", "cpu_fraction", 0.0)
    assert len(points) <= 1_000
    assert points[-1] == (2_999.0, 0.5)


def test_what_a_caller_does_with_an_answer_changes_nothing(telemetry: Telemetry):
    telemetry.record(0.0, [sample("n1", 0.0)], [])
    telemetry.node_load(60.0, 0.0)["n1"].clear()
    telemetry.node_load(60.0, 0.0).clear()
    assert telemetry.node_load(60.0, 0.0)["n1"]["cpu_fraction"] == pytest.approx(0.5)
