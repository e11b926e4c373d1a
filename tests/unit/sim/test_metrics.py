"""Metrics of an outcome small enough to work out by hand.

Two nodes with a T4 each. `a` and `b` come at 0 and run alone for 100 s and 50 s; `c`, a gang of two for 20 s, comes at
10 and starts when both nodes are free, at 100.
"""

import msgspec
import pytest

from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Placement, Record, Status
from suanli.domain.resources import AcceleratorDemand, Demand, Share
from suanli.domain.workload import Kind, Workload
from suanli.sim.jobs import jobs_of
from suanli.sim.metrics import measure, size_of
from suanli.sim.outcome import Level, Outcome, Stay

MODEL = "T4"
FLEET = Fleet(
    name="two",
    nodes=tuple(
        Node(name=f"n{i}", cpus=8, memory_bytes=2**33, accelerators=(MODEL,), price_per_hour=3.6)
        for i in range(2)
    ),
)
ON_0 = Placement("n0", Share(cpus=2, accelerator=MODEL, devices=(0,)))
ON_1 = Placement("n1", Share(cpus=2, accelerator=MODEL, devices=(0,)))


def workload(name: str, *, nodes: int = 1, **more) -> Workload:
    demand = Demand(cpus=2, accelerators=(AcceleratorDemand(MODEL, 1),))
    return Workload(name=name, kind=Kind.TRAIN, run=(), demand=demand, nodes=nodes, **more)


def record(what: Workload, arrived_s: float, ended_s: float | None, **more) -> Record:
    status = Status.WAITING if ended_s is None else Status.SUCCEEDED
    return Record(
        key=what.name,
        workload=what,
        seq=1,
        submitted_s=arrived_s,
        waiting_since_s=arrived_s,
        status=status,
        ended_s=ended_s,
        **more,
    )


OUTCOME = Outcome(
    policy="fifo",
    trace="hand",
    seed=0,
    oracle=False,
    fleet=FLEET,
    records=(
        record(workload("a", deadline_s=100), 0, 100),
        record(workload("b", deadline_s=49), 0, 50),
        record(workload("c", nodes=2), 10, 120),
    ),
    work={"a": 100, "b": 50, "c": 20},
    stays=(
        Stay("b", 1, 0, 0, 50, (ON_1,), "succeeded"),
        Stay("a", 1, 0, 0, 100, (ON_0,), "succeeded"),
        Stay("c", 1, 100, 100, 120, (ON_0, ON_1), "succeeded"),
    ),
    levels=(
        Level(0, 0, 2, 2, 4),
        Level(10, 1, 2, 2, 4),
        Level(50, 1, 1, 1, 2),
        Level(100, 0, 1, 2, 4),
        Level(120, 0, 0, 0, 0),
    ),
    from_s=0,
    to_s=120,
    steps=4,
    policy_cpu_s=0.0,
    decisions_hash="x",
    is_whole=True,
)


def changed(**more) -> Outcome:
    return msgspec.structs.replace(OUTCOME, **more)


def test_completion_times_count_from_arrival() -> None:
    metrics = measure(OUTCOME)
    assert (metrics.jobs, metrics.jobs_done, metrics.makespan_s) == (3, 3, 120)
    assert metrics.jct_mean_s == pytest.approx((100 + 50 + 110) / 3)
    assert metrics.jct_p50_s == 100
    assert metrics.jct_p99_s == pytest.approx(100 + 0.98 * 10)


def test_waiting_is_all_time_without_nodes() -> None:
    assert measure(OUTCOME).wait_mean_s == pytest.approx(90 / 3)


def test_utilisation_is_device_time_at_work_of_all_there_is() -> None:
    metrics = measure(OUTCOME)
    assert metrics.utilisation == metrics.allocation == pytest.approx((100 + 50 + 40) / 240)
    assert metrics.usage.allocated["cpus"] == pytest.approx(2 * 190 / (16 * 120))
    assert metrics.usage.allocated[MODEL] == metrics.allocation


def test_starting_up_is_allocated_but_not_utilised() -> None:
    late = (*OUTCOME.stays[:2], msgspec.structs.replace(OUTCOME.stays[2], started_s=110))
    metrics = measure(changed(stays=late))
    assert metrics.allocation == pytest.approx(190 / 240)
    assert metrics.utilisation == pytest.approx(170 / 240)


def test_an_attempt_that_never_began_to_work_utilised_nothing() -> None:
    never = (*OUTCOME.stays[:2], msgspec.structs.replace(OUTCOME.stays[2], started_s=float("inf")))
    assert measure(changed(stays=never)).utilisation == pytest.approx(150 / 240)


def test_finish_time_ratios_compare_with_an_own_part_of_the_cluster() -> None:
    metrics = measure(OUTCOME)
    # c saw (40·3 + 50·2 + 20·1) / 110 jobs; alone in its part of the two devices, its gang of two takes turns
    contention = 240 / 110
    assert metrics.ftf_worst == pytest.approx(110 / (20 * contention))
    assert metrics.ftf_unfair_share == pytest.approx(1 / 3)


def test_a_job_alone_is_treated_just_fairly() -> None:
    alone = changed(
        records=OUTCOME.records[:1],
        stays=OUTCOME.stays[1:2],
        levels=(Level(0, 0, 1, 1, 2), Level(100, 0, 0, 0, 0)),
    )
    metrics = measure(alone)
    assert metrics.ftf_worst == pytest.approx(1)
    assert metrics.ftf_unfair_share == 0


def test_over_several_kinds_of_device_the_ratio_is_weighted_by_their_numbers() -> None:
    fleet = Fleet(
        name="mixed", nodes=(*FLEET.nodes, Node(name="k", cpus=8, memory_bytes=1, accelerators=("K80",)))
    )
    both = Demand(accelerators=(AcceleratorDemand(MODEL, 1), AcceleratorDemand("K80", 1)))
    job = Workload(name="a", kind=Kind.TRAIN, run=(), demand=both, speeds={MODEL: 2.0, "K80": 0.5})
    mixed = changed(
        fleet=fleet,
        records=(record(job, 0, 100),),
        work={"a": 200},
        stays=OUTCOME.stays[1:2],
        levels=(Level(0, 0, 1, 1, 2), Level(100, 0, 0, 0, 0)),
    )
    assert measure(mixed).ftf_worst == pytest.approx(2 / 3 * 100 / 100 + 1 / 3 * 100 / 400)


def test_slowdown_and_apdex_compare_with_the_time_alone() -> None:
    metrics = measure(OUTCOME)
    assert metrics.slowdown_mean == pytest.approx((1 + 1 + 5.5) / 3)
    assert metrics.apdex == pytest.approx((2 + 0.5) / 3)


def test_a_deadline_is_met_by_succeeding_in_time() -> None:
    metrics = measure(OUTCOME)
    assert (metrics.deadlines, metrics.deadlines_met) == (2, 1)


def test_the_cost_is_of_what_was_held_and_the_fleets_of_all() -> None:
    usage = measure(OUTCOME).usage
    assert usage.cost == pytest.approx(190 * 3.6 / 3600)
    assert usage.fleet_cost == pytest.approx(240 * 3.6 / 3600)
    assert usage.without_price == ()


def test_energy_is_idle_power_all_the_time_and_the_rest_while_held() -> None:
    declared = Fleet(
        name="two",
        nodes=tuple(
            msgspec.structs.replace(node, idle_power_w=100.0, max_power_w=500.0) for node in FLEET.nodes
        ),
    )
    assert measure(changed(fleet=declared)).energy_kwh == pytest.approx((240 * 100 + 190 * 400) / 3.6e6)
    assert measure(OUTCOME).energy_kwh == pytest.approx((240 * 0.12 * 70 + 190 * 0.88 * 70) / 3.6e6)


def test_what_has_no_known_power_or_price_is_named() -> None:
    strange = Fleet(
        name="g2", nodes=(Node(name="n0", cpus=1, memory_bytes=1, accelerators=("G2",)), FLEET.nodes[1])
    )
    usage = measure(changed(fleet=strange)).usage
    assert usage.without_power == usage.without_price == ("G2",)


def test_preemptions_restarts_and_lost_work_are_counted() -> None:
    stays = (
        Stay("c", 1, 10, 10, 40, (ON_0, ON_1), "preempted"),
        *OUTCOME.stays[:2],
        Stay("c", 2, 100, 100, 120, (ON_0, ON_1), "succeeded"),
    )
    lost = (*OUTCOME.records[:2], record(OUTCOME.records[2].workload, 10, 120, lost_s=30.0))
    metrics = measure(changed(stays=stays, records=lost))
    assert (metrics.preemptions, metrics.restarts) == (1, 1)
    assert metrics.lost_device_h == pytest.approx(2 * 30 / 3600)
    assert metrics.wait_mean_s == pytest.approx((110 - 30 - 20) / 3)


def test_jobs_that_did_not_succeed_have_no_completion_time_but_frustrate() -> None:
    unfinished = (*OUTCOME.records[:2], record(OUTCOME.records[2].workload, 10, None))
    metrics = measure(changed(records=unfinished, stays=OUTCOME.stays[:2], is_whole=False))
    assert (metrics.jobs, metrics.jobs_done) == (3, 2)
    assert metrics.jct_mean_s == 75
    assert metrics.apdex == pytest.approx(2 / 3)
    assert metrics.makespan_s == 120


def test_nothing_at_all_has_no_means() -> None:
    metrics = measure(changed(records=(), stays=(), levels=(), work={}, to_s=0))
    assert (metrics.jobs, metrics.jct_mean_s, metrics.ftf_worst, metrics.apdex) == (0, None, None, None)
    assert metrics.utilisation == 0


def test_a_machine_reads_the_metrics_as_json_without_nan() -> None:
    text = msgspec.json.encode(measure(changed(records=(), stays=(), levels=(), work={}, to_s=0)))
    assert b"NaN" not in text
    assert msgspec.json.decode(text)["jct_mean_s"] is None


def test_groups_by_size_double_and_keep_their_order() -> None:
    assert [size_of(devices) for devices in (0, 0.5, 1, 2, 3, 4, 7, 8, 100)] == [
        "none",
        "share",
        "1",
        "2-3",
        "2-3",
        "4-7",
        "4-7",
        "8-15",
        "64-127",
    ]
    groups = measure(OUTCOME).by_size
    assert [(group.size, group.jobs, group.jct_mean_s) for group in groups] == [("1", 2, 75), ("2-3", 1, 110)]


def test_work_without_accelerators_counts_in_cores() -> None:
    cpu = Workload(name="a", kind=Kind.JOB, run=(), demand=Demand(cpus=4), nodes=2)
    jobs = jobs_of(changed(records=(record(cpu, 0, 100),), stays=()))
    assert jobs.kinds == (MODEL, "cpus")
    assert jobs.asked.tolist() == [[0, 8]]
    assert jobs.capacity.tolist() == [2, 16]
    assert jobs.alone_s.tolist() == [[float("inf"), 100]]
    assert jobs.devices.tolist() == [0]
