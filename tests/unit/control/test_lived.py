"""A controller on a virtual clock, and what its log comes to: the same as a simulation of the same work."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.building import GPU, fleet, node, workload

from suanli.control import requests
from suanli.control.controller import Controller, Ports
from suanli.control.lived import counted_from, outcome_of_log
from suanli.control.otherwise import Fork, play_on
from suanli.control.requests import Asked
from suanli.domain import events as ev
from suanli.domain.fleet import Fleet
from suanli.policies.registry import parse
from suanli.ports.clock import VirtualClock
from suanli.ports.fake_engine import FakeEngine
from suanli.ports.memory_store import MemoryStore
from suanli.ports.scripted_telemetry import ScriptedTelemetry
from suanli.sim.outcome import Outcome
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Arrival, Trace

MIDNIGHT_S = 1_000_000.0
LAB = fleet(node(gpus=1))
CONDITIONS = Conditions(start_s=5.0, restart_s=20.0, stop_s=10.0)
ARRIVALS = (
    Arrival(at_s=0.0, workload=workload("long", gpus=1, duration_s=500.0), work=600.0),
    Arrival(at_s=100.0, workload=workload("urgent", gpus=1, priority=90, duration_s=50.0), work=50.0),
    Arrival(at_s=120.0, workload=workload("short", gpus=1, duration_s=30.0), work=30.0),
)
WORK = {arrival.workload.name: arrival.work for arrival in ARRIVALS}


class Lived:
    """The arrivals under a real controller that looks every second, its clock far from zero."""

    def __init__(self, policy: str, until_s: float) -> None:
        clock = VirtualClock(MIDNIGHT_S)
        self.store = MemoryStore()
        engine = FakeEngine(
            clock,
            LAB.nodes,
            work=lambda launch: WORK[launch.key],
            start_s=(CONDITIONS.start_s, CONDITIONS.restart_s),
            wind_down_s=CONDITIONS.stop_s,
        )
        ports = Ports(self.store, engine, clock, ScriptedTelemetry())
        controller = Controller(ports, holder="test", home=Path("home"))
        requests.apply(controller, Asked(fleet=LAB), actor="test")
        requests.choose_policy(controller, policy, actor="test")
        left = list(ARRIVALS)
        while clock.now_s() < MIDNIGHT_S + until_s:
            while left and MIDNIGHT_S + left[0].at_s <= clock.now_s():
                requests.apply(controller, Asked(workloads=(left.pop(0).workload,)), actor="test")
            controller.cycle()
            clock.advance(1.0)

    def entries(self) -> list[ev.Entry]:
        return list(counted_from(self.store.entries(0), MIDNIGHT_S))

    def outcome(self, to_s: float) -> Outcome:
        return outcome_of_log(
            self.entries(),
            self.store.decisions(),
            LAB,
            WORK,
            name="lived",
            seed=0,
            from_s=0.0,
            to_s=to_s,
        )


def simulated(policy: str, on: Fleet = LAB) -> Outcome:
    rng = np.random.default_rng(0)
    return Simulation(Trace(name="t", arrivals=ARRIVALS), on, parse(policy), CONDITIONS, rng).run()


def stays(outcome: Outcome) -> Sequence[tuple[str, int, str]]:
    return [(stay.key, stay.number, stay.cause) for stay in outcome.stays]


def within_s(outcome: Outcome, other: Outcome) -> float:
    """By how much their stays are apart at most."""
    pairs = zip(outcome.stays, other.stays, strict=True)
    return max(max(abs(a.placed_s - b.placed_s), abs(a.ended_s - b.ended_s)) for a, b in pairs)


@pytest.mark.parametrize("policy", ["fifo", "sjf"])
def test_what_a_controller_did_is_told_as_its_simulation_is(policy: str) -> None:
    lived, played = Lived(policy, 1_000.0).outcome(1_000.0), simulated(policy)
    assert stays(lived) == stays(played)
    assert {stay.cause for stay in lived.stays} == {"preempted", "succeeded"}
    assert within_s(lived, played) < 10.0
    assert lived.is_whole
    assert max(level.devices for level in lived.levels) == 1.0
    assert lived.levels[-1].waiting == lived.levels[-1].live == 0
    assert [record.submitted_s for record in lived.records] == [0.0, 100.0, 120.0]


def test_what_still_runs_is_told_so_far() -> None:
    outcome = Lived("fifo", 50.0).outcome(50.0)
    assert stays(outcome) == [("long", 1, "")]
    assert outcome.stays[0].ended_s == 50.0
    assert not outcome.is_whole


def test_from_the_log_on_a_simulation_goes_on_as_the_controller_does_or_otherwise() -> None:
    """After the urgent one there is room for one of two: fifo takes the long one, sjf the short one."""
    at_s = 140.0
    entries = tuple(entry for entry in Lived("fifo", at_s).entries() if entry.at_s <= at_s)
    fork = Fork(
        entries=entries,
        later=Trace(name="", arrivals=()),
        fleet=LAB,
        work=WORK,
        policies=("fifo", "sjf"),
        conditions=CONDITIONS,
        at_s=at_s,
        to_s=1_000.0,
    )
    stayed, otherwise = play_on(fork)
    lived = Lived("fifo", 1_000.0).outcome(1_000.0)
    assert [stay.key for stay in stayed.stays] == ["urgent", "long", "short"]
    assert [stay.key for stay in otherwise.stays] == ["urgent", "short", "long"]
    ended = {record.key: record.ended_s for record in stayed.records}
    for record in lived.records:
        assert record.ended_s == pytest.approx(ended[record.key], abs=10.0)
    assert GPU in lived.fleet.nodes[0].accelerators


def test_instants_within_events_are_counted_from_the_same_origin() -> None:
    submitted = ev.Submitted(key="w", workload=workload("w", deadline_s=MIDNIGHT_S + 60.0))
    saved = ev.Checkpointed(key="w", number=1, step=3, saved_s=MIDNIGHT_S + 20.0)
    log = [
        ev.Entry(seq=seq, at_s=MIDNIGHT_S + 30.0, actor="test", event=event)
        for seq, event in enumerate((submitted, saved))
    ]
    first, second = counted_from(log, MIDNIGHT_S)
    assert first.at_s == 30.0
    assert isinstance(first.event, ev.Submitted)
    assert first.event.workload.deadline_s == 60.0
    assert isinstance(second.event, ev.Checkpointed)
    assert second.event.saved_s == 20.0
