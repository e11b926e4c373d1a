"""The published files themselves, where they are there."""

import itertools

import numpy as np
import pytest

from suanli.traces import Context, arrivals, context_of, fleet_of, read, trace_of


def test_gavels_traces_have_96_and_100_jobs_that_all_can_run(data) -> None:
    context = Context(throughputs=data("gavel/simulation_throughputs.json"))
    for name, jobs in [("max_min_fairness", 96), ("minimize_makespan", 100)]:
        rows = read(f"gavel:{data(f'gavel/{name}.trace')}", context).rows
        assert len(rows) == jobs
        assert all(row.speeds for row in rows)


def test_a_multi_gpu_resnet_50_cannot_run_on_a_k80(data) -> None:
    context = Context(throughputs=data("gavel/simulation_throughputs.json"))
    rows = read(f"gavel:{data('gavel/max_min_fairness.trace')}", context).rows
    large = [row for row in rows if row.program == "ResNet-50 (batch size 128)" and row.nodes > 1]
    assert large
    assert all("K80" not in row.speeds for row in large)


def test_the_82247_jobs_of_philly_are_read(data) -> None:
    rows = read(f"philly:{data('philly/philly.csv.gz')}").rows
    assert len(rows) == 82_247
    assert all(one.at_s <= other.at_s for one, other in itertools.pairwise(rows))
    assert max(row.nodes for row in rows) == 16


def test_openbs_fleet_is_the_published_one_and_its_protocol_gives_10825_pods(data) -> None:
    fleet = fleet_of(f"openb:{data('openb/csv/openb_node_list_gpu_node.csv')}")
    assert len(fleet.nodes) == 1213
    assert sum(len(node.accelerators) for node in fleet.nodes) == 6212
    assert sum(node.cpus for node in fleet.nodes) == 107_018
    table = read(f"openb:{data('openb/csv/openb_pod_list_default.csv')}", context_of(fleet))
    counts = [
        len(arrivals(trace_of(table, fleet), fleet, 1.3, np.random.default_rng(seed)).arrivals)
        for seed in (42, 43)
    ]
    assert counts == pytest.approx([10_825] * 2, rel=0.01)


@pytest.mark.parametrize(
    ("cluster", "jobs"),
    [("02", 5_778), ("03", 3_011), ("05", 3_629), ("06", 2_396), ("08", 13_047), ("10", 260)],
)
def test_every_elasticflow_job_has_a_measured_speed_that_explains_its_duration(data, cluster, jobs) -> None:
    path = data(f"elasticflow/deadlines/cluster{cluster}.csv")
    timed = read(f"elasticflow:{path}").rows
    measured = read(f"elasticflow:{path}", Context(throughputs=data("elasticflow"))).rows
    assert len(timed) == len(measured) == jobs
    ratios = [
        row.work / row.speeds["A100-40GB"] / other.work for row, other in zip(measured, timed, strict=True)
    ]
    assert np.median(ratios) == pytest.approx(1, abs=0.01)


def test_chronus_and_shockwave_are_read_whole(data) -> None:
    assert len(read(f"chronus:{data('chronus/trace_job_Philly_SLO.csv')}").rows) == 30_940 - 205
    name = "120_0.2_5_100_40_25_0,0.5,0.5_0.6,0.3,0.09,0.01_multigpu_dynamic.trace"
    assert len(read(f"shockwave:{data(f'shockwave/{name}')}").rows) == 120
