"""A trace played on a virtual clock, against times worked out by hand."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.building import GPU, fleet, node

from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Record, Status
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Kind, Workload
from suanli.policies.registry import parse
from suanli.sim.faults import Fault, node_failures
from suanli.sim.outcome import Outcome
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Arrival, Trace


def arrives(name: str, at_s: float, work: float, gpus: float = 1.0, **more: object) -> Arrival:
    demand = Demand(cpus=1.0, accelerators=(AcceleratorDemand(GPU, gpus),))
    fields: dict[str, object] = {"kind": Kind.TRAIN, "run": ("x",), "demand": demand, **more}
    return Arrival(at_s=at_s, workload=Workload(name=name, **fields), work=work)  # pyright: ignore[reportArgumentType]


def played(
    *arrivals: Arrival,
    on: Fleet | None = None,
    policy: str = "fifo",
    conditions: Conditions = Conditions(),  # noqa: B008 - frozen
    faults: tuple[Fault, ...] = (),
) -> Outcome:
    trace = Trace(name="t", arrivals=arrivals)
    rng = np.random.default_rng(0)
    return Simulation(trace, on or fleet(node(gpus=1)), parse(policy), conditions, rng, faults=faults).run()


def ends(outcome: Outcome) -> dict[str, float | None]:
    return {record.key: record.ended_s for record in outcome.records}


def record(outcome: Outcome, key: str) -> Record:
    return next(r for r in outcome.records if r.key == key)


def test_one_after_the_other_on_one_device() -> None:
    outcome = played(arrives("a", 0, 100), arrives("b", 10, 50), arrives("c", 20, 5))
    assert ends(outcome) == {"a": 100, "b": 150, "c": 155}
    assert outcome.is_whole


def test_on_a_grid_things_are_seen_and_decided_at_its_multiples() -> None:
    outcome = played(arrives("a", 3, 55), arrives("b", 12, 20), conditions=Conditions(grid_s=10))
    assert [stay.placed_s for stay in outcome.stays] == [10, 70]
    assert ends(outcome) == {"a": 70, "b": 90}


def test_shortest_first_needs_to_be_told_how_much_there_is_to_do() -> None:
    arrivals = (arrives("a", 0, 100), arrives("long", 10, 50), arrives("short", 20, 5))
    assert ends(played(*arrivals, policy="sjf")) == {"a": 100, "long": 150, "short": 155}
    told = played(*arrivals, policy="sjf", conditions=Conditions(oracle=True))
    assert ends(told) == {"a": 100, "short": 105, "long": 155}
    assert told.oracle


def test_each_start_and_each_later_start_takes_its_time() -> None:
    low, high = arrives("low", 0, 100, priority=10), arrives("high", 40, 20, priority=90)
    outcome = played(low, high, policy="priority", conditions=Conditions(start_s=1, restart_s=30, stop_s=2))
    # low works from 1 to 40 and saves it, is gone at 42; high works from 43 to 63; low comes up until 93
    assert ends(outcome) == {"high": 63, "low": 93 + 100 - 39}
    assert record(outcome, "low").preemptions == 1
    assert record(outcome, "low").lost_s == 0


def test_what_does_not_checkpoint_does_again_what_was_lost() -> None:
    low = arrives("low", 0, 100, priority=10, kind=Kind.JOB)
    outcome = played(low, arrives("high", 40, 20, priority=90), policy="priority")
    assert ends(outcome) == {"high": 60, "low": 160}
    assert record(outcome, "low").lost_s == 40


def test_work_goes_at_the_speed_of_where_it_runs() -> None:
    two_kinds = Fleet(
        name="f",
        nodes=(
            Node(name="fast", cpus=4, memory_bytes=2**30, accelerators=(GPU,)),
            Node(name="slow", cpus=4, memory_bytes=2**30, accelerators=("T4",)),
        ),
    )
    either = Demand(cpus=1, accelerators=(AcceleratorDemand(GPU, 1), AcceleratorDemand("T4", 1)))
    more = {"demand": either, "speeds": {GPU: 10.0, "T4": 2.0}}
    outcome = played(arrives("a", 0, 1000, **more), arrives("b", 0, 1000, **more), on=two_kinds)
    assert ends(outcome) == {"a": 100, "b": 500}


def test_elastic_work_gets_done_in_proportion_to_its_nodes() -> None:
    """Declared for one node: 300 s. It begins on three; after the restart only two are left."""
    work = arrives("elastic", 0, 300, elastic_nodes=(1, 4), checkpoint_every_s=10.0)
    three = fleet(*(node(f"n{i}", gpus=1) for i in range(3)))
    assert ends(played(work, on=three)) == {"elastic": 100}
    outcome = played(work, on=three, faults=(Fault(50, "n0", False), Fault(500, "n0", True)))
    assert [len(stay.placements) for stay in outcome.stays] == [3, 2]
    assert ends(outcome) == {"elastic": 50 + 75}


def test_a_gang_on_a_failed_node_goes_on_elsewhere_from_its_checkpoint() -> None:
    outcome = played(
        arrives("gang", 0, 100, nodes=2, checkpoint_every_s=10.0),
        on=fleet(*(node(f"n{i}", gpus=1) for i in range(3))),
        faults=(Fault(35, "n0", False), Fault(500, "n0", True)),
    )
    first, second = outcome.stays
    assert [p.node for p in first.placements] == ["n0", "n1"]
    assert first.cause == "node-lost"
    assert [p.node for p in second.placements] == ["n1", "n2"]
    assert ends(outcome) == {"gang": 35 + 70}  # thirty seconds of work were safe


def test_what_can_never_run_ends_the_simulation_and_is_told() -> None:
    outcome = played(arrives("a", 0, 10), arrives("huge", 0, 10, gpus=64))
    assert not outcome.is_whole
    assert record(outcome, "huge").status is Status.WAITING
    assert ends(outcome)["a"] == 10


def test_levels_tell_what_was_held_at_each_instant() -> None:
    outcome = played(arrives("a", 0, 100), arrives("b", 10, 50))
    told = [(level.at_s, level.waiting, level.live, level.devices) for level in outcome.levels]
    assert told == [(0, 0, 1, 1.0), (10, 1, 1, 1.0), (100, 0, 1, 1.0), (150, 0, 0, 0.0)]


def test_failures_are_drawn_by_seed_and_come_in_order() -> None:
    of = fleet(*(node(f"n{i}") for i in range(5)))
    one, again = (node_failures(of, 1e6, 1e5, 1e4, np.random.default_rng(7)) for _ in range(2))
    assert one == again
    assert [f.at_s for f in one] == sorted(f.at_s for f in one)
    assert one != node_failures(of, 1e6, 1e5, 1e4, np.random.default_rng(8))


HASH = """
import numpy as np
from tests.property.sim.lives import life
print(life(3, "priority+best-fit").run().decisions_hash)
"""


def test_a_run_is_the_same_to_the_byte_whatever_the_hash_seed() -> None:
    root = Path(__file__).parents[3]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", HASH],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    printed = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert len(printed) == 1
    assert len(printed.pop().strip()) == 64


@pytest.mark.parametrize("policy", ["fifo+first-fit", "srtf+best-fit", "priority+spread"])
def test_reasons_are_left_out_without_changing_a_decision(policy: str) -> None:
    from tests.property.sim.lives import life

    from suanli.kernel import step as kernel_step

    run = life(5, policy)
    while run.arrived < 30:
        run.advance()
    state, memory, now_s = run.state, run.memory, run.now_s
    chosen = [
        kernel_step.step(state, run.policy, memory, now_s, np.random.default_rng(0), explained=explained)
        for explained in (True, False)
    ]
    assert chosen[0][0].actions == chosen[1][0].actions
    assert chosen[0][1] == chosen[1][1]
