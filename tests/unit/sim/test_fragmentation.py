"""Fragmentation of small fleets, worked out by hand."""

import pytest

from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Placement, Record, Status
from suanli.domain.resources import AcceleratorDemand, Demand, Share
from suanli.domain.workload import Kind, Workload
from suanli.policies.mix import Mix, Typical
from suanli.sim.fragmentation import fragmentation_of, useless
from suanli.sim.outcome import Outcome, Stay

HALF = Typical(0.5, 1, 1, 0.5, ("T4",))
PAIR = Typical(0.3, 4, 2, 1.0, ("T4",))
CORES = Typical(0.2, 1, 0, 0.0, ())
MIX = Mix((HALF, PAIR, CORES))


@pytest.mark.parametrize(
    ("cpus", "left", "models", "lost"),
    [
        # nothing is lost to halves and pairs, all to work without accelerators
        (8, (1.0, 1.0), ("T4", "T4"), 0.2 * 2),
        # too few cores for a pair
        (2, (1.0, 1.0), ("T4", "T4"), 0.3 * 2 + 0.2 * 2),
        # 0.3 of the first device serves nobody, the second a half
        (8, (0.3, 1.0), ("T4", "T4"), 0.5 * 0.3 + 0.3 * 1.3 + 0.2 * 1.3),
        # of a model that nobody asks for
        (8, (1.0,), ("K80",), 1.0),
        # on a node of two models a half uses one device, and the other is lost to it
        (8, (1.0, 1.0), ("T4", "K80"), 0.5 * 1 + 0.3 * 2 + 0.2 * 2),
        (8, (0.0, 0.0), ("T4", "T4"), 0.0),
    ],
)
def test_what_the_typical_workloads_cannot_use_is_lost(cpus, left, models, lost) -> None:
    assert useless(MIX, cpus, left, models) == pytest.approx(lost)


FLEET = Fleet(name="f", nodes=(Node(name="n", cpus=8, memory_bytes=2**30, accelerators=("T4",) * 4),))


def outcome(jobs: list[tuple[float, float, tuple[int, ...], float, float | None]]) -> Outcome:
    """Jobs by arrival, share of each device, devices, begin and end (None: it still runs at 100)."""
    records, stays = [], []
    for number, (at_s, share, devices, placed_s, ended_s) in enumerate(jobs):
        name = f"j{number}"
        demand = Demand(cpus=1, accelerators=(AcceleratorDemand("T4", share * len(devices)),))
        what = Workload(name=name, kind=Kind.JOB, run=(), demand=demand)
        records.append(
            Record(
                key=name,
                workload=what,
                seq=number,
                submitted_s=at_s,
                waiting_since_s=at_s,
                status=Status.RUNNING,
            )
        )
        held = Share(cpus=1, accelerator="T4", devices=devices, device_share=share)
        cause = "" if ended_s is None else "succeeded"
        end_s = 100.0 if ended_s is None else ended_s
        stays.append(Stay(name, 1, placed_s, placed_s, end_s, (Placement("n", held),), cause))
    return Outcome(
        policy="p",
        trace="t",
        seed=0,
        oracle=False,
        fleet=FLEET,
        records=tuple(records),
        work={},
        stays=tuple(stays),
        levels=(),
        from_s=0,
        to_s=100,
        steps=0,
        policy_cpu_s=0,
        decisions_hash="",
        is_whole=False,
    )


def test_the_curve_is_sampled_as_each_workload_arrives_and_those_that_stay_are_held_to_the_end() -> None:
    staying = outcome([(0, 1, (0, 1), 0, None), (10, 1, (2,), 10, None), (100, 0.5, (3,), 100, None)])
    curves = fragmentation_of(staying, 100, Mix((PAIR,)))
    assert curves is not None
    assert curves.demand_pct == (50, 75, 88)
    assert curves.allocation_pct == pytest.approx((50, 75, 87.5))
    # after the second only one whole device is left, which is of no use to pairs
    assert curves.fragmentation_pct == pytest.approx((0, 0.3 * 25, 0.3 * 12.5))


def test_arrivals_that_round_to_the_same_percent_are_averaged() -> None:
    same = outcome([(0, 1, (0,), 0, None), (1, 0.01, (1,), 1, None)])
    curves = fragmentation_of(same, 100, Mix((PAIR,)))
    assert curves is not None
    assert curves.demand_pct == (25,)
    assert curves.allocation_pct == pytest.approx(((25 + 25.25) / 2,))


def test_the_mean_is_over_time_and_of_idle_device_time() -> None:
    # 3 devices held from 0 to 50, then none; only pairs are expected, so one idle device is of no use, four are
    one = outcome([(0, 1, (0, 1, 2), 0, 50)])
    curves = fragmentation_of(one, 100, Mix((Typical(1.0, 1, 2, 1.0, ("T4",)),)))
    assert curves is not None
    assert curves.mean == pytest.approx(50 * 1 / (4 * 100))
    assert curves.mean_of_idle == pytest.approx(50 / (50 * 1 + 50 * 4))


def test_devices_handed_over_at_one_instant_are_not_held_twice() -> None:
    handed = outcome([(0, 1, (0, 1, 2, 3), 0, 50), (10, 1, (0, 1, 2, 3), 50, 60), (55, 1, (0,), 60, 60)])
    curves = fragmentation_of(handed, 100)
    assert curves is not None
    assert max(curves.allocation_pct) == 100
    assert curves.mean_of_idle >= 0


def test_a_fleet_without_accelerators_has_none_to_lose() -> None:
    plain = Fleet(name="f", nodes=(Node(name="n", cpus=8, memory_bytes=1),))
    import msgspec

    assert fragmentation_of(msgspec.structs.replace(outcome([]), fleet=plain), 100) is None
