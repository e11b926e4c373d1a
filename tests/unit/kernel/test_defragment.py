"""Running work is moved so that what fits nowhere fits, within bounds."""

import msgspec
import numpy as np
import pytest
from tests.building import (
    decide,
    fleet,
    node,
    nodes,
    placed,
    running,
    state_of,
    stopped,
    token,
    waiting,
    workload,
)

from suanli.domain.decision import Memory
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record
from suanli.kernel.invariants import violations
from suanli.policies.registry import parse
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Arrival, Trace

TWO = fleet(*nodes(2, gpus=2), migrate=1.0)


def holds(name: str, on: str, *devices: int, unsaved_s: float = 600.0, **more: object) -> Record:
    what = workload(name, gpus=len(devices), **more)  # pyright: ignore[reportArgumentType]
    return running(what, (on, devices), unsaved_s=unsaved_s)


PAIR = waiting(workload("pair", gpus=2), seq=9)
HALVES = (holds("left", "n0", 0), holds("right", "n1", 1, unsaved_s=5.0))


def test_the_one_that_loses_least_is_moved_and_room_is_kept_for_both() -> None:
    state = state_of(TWO, *HALVES, PAIR)
    decision, memory = decide(state)
    assert stopped(decision) == {"right": "pair"}
    assert {key: [p.node for p in r.placements] for key, r in memory.reservations.items()} == {
        "pair": ["n1"],
        "right": ["n0"],
    }
    assert memory.migrations == 1
    assert token(decision, "pair") == "ResourcesBusy"
    assert violations(state, decision) == ()


def test_nothing_is_moved_unless_the_fleet_says_so() -> None:
    assert stopped(decide(state_of(fleet(*nodes(2, gpus=2)), *HALVES, PAIR))[0]) == {}


@pytest.mark.parametrize(("migrations", "moves"), [(0, True), (1, False), (7, False)])
def test_no_more_are_moved_than_that_part_of_all_that_were_started(migrations: int, moves: bool) -> None:
    half = msgspec.structs.replace(TWO, migrate=0.5)  # two have been started: one may be moved
    decision, memory = decide(state_of(half, *HALVES, PAIR), memory=Memory(migrations=migrations))
    assert bool(stopped(decision)) is moves
    assert memory.migrations == migrations + moves


def test_what_may_not_be_preempted_is_not_moved() -> None:
    fixed = (holds("left", "n0", 0, preemptible=False), holds("right", "n1", 1, preemptible=False))
    assert stopped(decide(state_of(TWO, *fixed, PAIR))[0]) == {}


def test_nothing_is_moved_where_it_would_not_help_or_has_nowhere_to_go() -> None:
    full = (holds("a", "n0", 0, 1), holds("b", "n1", 0), holds("c", "n1", 1))
    assert stopped(decide(state_of(TWO, *full, PAIR))[0]) == {}
    wide = waiting(workload("wide", gpus=3), seq=9)
    assert stopped(decide(state_of(TWO, *HALVES, wide))[0]) == {}


def test_larger_work_is_not_moved_for_smaller() -> None:
    of = fleet(node("n0", gpus=4, cpus=8), node("n1", gpus=4, cpus=64), migrate=1.0)
    large = holds("large", "n0", 0, 1, 2, cpus=8)
    one = waiting(workload("one", gpus=1, cpus=2, node_labels={"name": "n0"}), seq=9)
    assert stopped(decide(state_of(of, large, one))[0]) == {}
    three = waiting(workload("three", gpus=3, cpus=2, node_labels={"name": "n0"}), seq=9)
    assert stopped(decide(state_of(of, large, three))[0]) == {"large": "three"}


def test_room_on_shared_devices_and_of_cores_is_made_too() -> None:
    of = fleet(*nodes(2, gpus=1, cpus=8), migrate=1.0)
    shares = [
        running(workload(f"s{i}", gpus=0.5, cpus=1), (f"n{i}", (0,)), seq=i, unsaved_s=10.0 * (i + 1))
        for i in range(2)
    ]
    whole = waiting(workload("whole", gpus=1, cpus=1), seq=9)
    assert stopped(decide(state_of(of, *shares, whole))[0]) == {"s0": "whole"}
    plain = [running(workload(f"c{i}", cpus=5), f"n{i}", seq=i) for i in range(2)]
    small = [running(workload(f"d{i}", cpus=2), f"n{i}", seq=5 + i) for i in range(2)]
    three = waiting(workload("three", cpus=3), seq=9)
    state = state_of(fleet(*nodes(3, cpus=8), migrate=1.0), *plain, *small, three)
    assert placed(decide(state)[0]) == {"three": ("n2",)}
    decision, _ = decide(state_of(fleet(*nodes(2, cpus=9), migrate=1.0), *plain, *small, three))
    assert list(stopped(decision).values()) == ["three"]


def test_what_moves_is_not_ended_for_another_in_the_same_step() -> None:
    of = fleet(*nodes(2, gpus=2), node("n2", gpus=1), migrate=1.0)
    low = holds("low", "n2", 0, unsaved_s=5000.0, priority=10)
    urgent = waiting(workload("urgent", gpus=1, priority=90), seq=10)
    state = state_of(of, *HALVES, low, PAIR, urgent)
    decision, _ = decide(state, "fifo")
    assert violations(state, decision) == ()
    assert stopped(decision)["right"] == "pair"
    assert sorted(stopped(decision)) == ["left", "right"]


def test_in_a_simulation_all_go_on_and_end() -> None:
    def play(of: Fleet) -> dict[str, float | None]:
        arrivals = [
            Arrival(at_s=0, workload=workload("a", gpus=1), work=1000),
            Arrival(at_s=0, workload=workload("b", gpus=1), work=1000),
            Arrival(at_s=10, workload=workload("pair", gpus=2), work=50),
        ]
        trace = Trace(name="t", arrivals=tuple(arrivals))
        run = Simulation(trace, of, parse("fifo+spread"), Conditions(stop_s=2), np.random.default_rng(0))
        return {r.key: r.ended_s for r in run.run().records}

    assert play(fleet(*nodes(2, gpus=2))) == {"a": 1000, "b": 1000, "pair": 1050}
    assert play(TWO) == {"a": 1002, "b": 1000, "pair": 62}
