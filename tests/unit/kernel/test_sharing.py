"""Accelerators shared over time, by the step: whose turn it is, what is kept for it, what is remembered."""

from typing import Any

import msgspec
import pytest
from tests.building import (
    NOW_S,
    decide,
    fleet,
    happened,
    node,
    nodes,
    placed,
    running,
    state_of,
    stopped,
    waiting,
    workload,
)

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory, Place, Stop
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record
from suanli.domain.workload import EndCause, Kind
from suanli.kernel.invariants import violations
from suanli.kernel.state import State
from suanli.policies.sharing.rounds import DIVIDE_AFTER_S, ROUND_S
from suanli.reports.sentences import sentence

ONE = fleet(node(gpus=1))
MIXED = fleet(node("fast", gpus=1, model="H100"), node("slow", gpus=1, model="T4"))


class World:
    """Decisions that are carried out at once: what is told to stop has ended before the next."""

    def __init__(self, of: Fleet, policy: str, *records: Record) -> None:
        self.state = state_of(of, *records)
        self.policy = policy
        self.memory = Memory()
        self.now_s = NOW_S

    def decide(self, after_s: float = 0.0) -> Decision:
        self.now_s += after_s
        decision, self.memory = decide(self.state, self.policy, self.memory, self.now_s)
        assert violations(self.state, decision) == ()
        for action in decision.actions:
            if isinstance(action, Place):
                self.happen(
                    action.key,
                    ev.Placed(key=action.key, number=action.number, placements=action.placements),
                    ev.Started(key=action.key, number=action.number),
                )
            elif isinstance(action, Stop):
                self.happen(
                    action.key, ev.StopBegun(key=action.key, number=action.number, cause=action.cause)
                )
        return decision

    def ends(self, key: str, cause: EndCause) -> None:
        attempt = self.state.records[key].attempt
        assert attempt is not None
        self.happen(key, ev.Ended(key=key, number=attempt.number, cause=cause))

    def comes(self, record: Record) -> None:
        self.state.apply([record])

    def happen(self, key: str, *events: ev.WorkloadEvent) -> None:
        self.state.apply([happened(self.state.records[key], *events, at_s=self.now_s)])

    def runs(self) -> set[str]:
        return set(self.state.live)


def job(name: str, seq: int, **more: Any) -> Record:
    return waiting(workload(name, gpus=1, **more), seq=seq)


def test_as_many_run_as_have_room_and_the_others_wait_for_their_turn() -> None:
    world = World(fleet(*nodes(2, gpus=1)), "max-min", *(job(f"j{i}", i) for i in range(3)))
    decision = world.decide()
    assert len(placed(decision)) == 2
    (left,) = {"j0", "j1", "j2"} - world.runs()
    why = decision.reason_for(left)
    assert why is not None
    assert (why.token, why.will_waiting_help, why.will_preemption_help) == ("BehindFairShare", True, False)
    assert sentence(why) == "accelerators are shared over time, and others have their turn now"
    assert world.memory.wake_s == NOW_S + ROUND_S


def test_turns_go_round_so_that_all_have_had_the_same() -> None:
    world = World(ONE, "max-min", job("a", 1), job("b", 2))
    had: list[str] = []
    world.decide()
    for _ in range(4):
        had += world.runs()
        for key in stopped(world.decide(ROUND_S)):
            world.ends(key, EndCause.PREEMPTED)
        world.decide()
    assert sorted(had) == ["a", "a", "b", "b"]


def test_room_is_kept_for_whose_turn_it_is_until_it_is_free() -> None:
    world = World(ONE, "max-min", job("a", 1), job("b", 2))
    (first,) = placed(world.decide())
    (second,) = {"a", "b"} - {first}
    decision = world.decide(ROUND_S)
    assert stopped(decision) == {first: "preempted"}
    assert set(world.memory.reservations) == {second}
    assert placed(world.decide(10.0)) == {}
    world.ends(first, EndCause.PREEMPTED)
    assert placed(world.decide(10.0)) == {second: ("n0",)}
    assert world.memory.reservations == {}


def test_who_has_another_turn_on_the_same_accelerator_is_not_restarted() -> None:
    world = World(fleet(*nodes(2, gpus=1)), "max-min", job("a", 1), job("b", 2))
    assert len(placed(world.decide())) == 2
    for _ in range(8):
        assert world.decide(ROUND_S).actions == ()


def test_within_a_round_nobody_is_stopped_and_who_comes_waits_for_the_next_division() -> None:
    world = World(fleet(*nodes(2, gpus=1)), "max-min", job("a", 1))
    world.decide()
    world.comes(job("b", 2))
    assert world.decide(ROUND_S / 2).actions == ()
    assert world.decide(ROUND_S).actions == ()
    assert placed(world.decide(DIVIDE_AFTER_S)) == {"b": ("n1",)}


def test_who_comes_when_nobody_else_is_there_need_not_wait() -> None:
    world = World(ONE, "max-min", job("a", 1))
    world.decide()
    world.ends("a", EndCause.SUCCEEDED)
    world.comes(job("b", 2))
    assert placed(world.decide(10.0)) == {"b": ("n0",)}


def test_each_is_put_where_it_is_worth_most() -> None:
    speeds = {"a": {"H100": 2.0, "T4": 1.9}, "b": {"H100": 9.0, "T4": 1.0}}
    for policy in ("max-min", "max-throughput", "shortest-remaining", "least-served", "soonest-end"):
        records = [
            job(key, i, model=("H100", "T4"), speeds=speed) for i, (key, speed) in enumerate(speeds.items())
        ]
        world = World(MIXED, policy, *records)
        assert placed(world.decide()) == {"a": ("slow",), "b": ("fast",)}, policy


@pytest.mark.parametrize(("work", "takes_over"), [(60.0, True), (90.0, False)])
def test_much_shorter_work_takes_over_and_little_shorter_work_waits(work: float, takes_over: bool) -> None:
    world = World(ONE, "shortest-remaining", job("long", 1, duration_s=100.0))
    world.decide()
    world.comes(job("short", 2, duration_s=work))
    assert bool(stopped(world.decide(1.0))) is takes_over


def test_what_cannot_take_turns_keeps_what_it_holds() -> None:
    service = workload("service", gpus=1, kind=Kind.SERVE)
    bound = workload("bound", gpus=1, preemptible=False)
    forgetful = workload("forgetful", gpus=1, kind=Kind.JOB)
    world = World(
        fleet(*nodes(4, gpus=1)),
        "max-min",
        running(service, ("n0", (0,)), seq=1),
        running(bound, ("n1", (0,)), seq=2),
        running(forgetful, ("n3", (0,)), seq=2),
        *(job(f"j{i}", 3 + i) for i in range(4)),
    )
    for _ in range(6):
        for key in stopped(world.decide(ROUND_S)):
            assert key.startswith("j")
            world.ends(key, EndCause.PREEMPTED)
        world.decide()
        assert {"service", "bound", "forgetful"} <= world.runs()
        assert len(world.runs()) == 4


def test_what_cannot_take_turns_is_placed_by_the_order_beside_those_that_do() -> None:
    cpu = waiting(workload("cpu"), seq=1)
    assert set(placed(World(ONE, "max-min", cpu, job("a", 2)).decide())) == {"cpu", "a"}


def test_a_division_holds_for_no_longer_than_the_devices_that_were_divided() -> None:
    """Whose only accelerator is away is given nothing, and under a strict rule would never have a turn again."""
    of = fleet(node("n0", gpus=1), node("n1", gpus=1, model="T4"))
    state = state_of(of, job("a", 1), unusable={"n0": "down"})
    decision, memory = decide(state, "first-come")
    assert placed(decision) == {}
    back = state_of(of, *state.records.values())
    assert placed(decide(back, "first-come", memory, NOW_S + 60.0)[0]) == {"a": ("n0",)}


def test_what_is_remembered_survives_being_stored() -> None:
    world = World(ONE, "ftf", job("a", 1), job("b", 2))
    world.decide()
    world.decide(ROUND_S)
    assert world.memory.rounds is not None
    assert msgspec.json.decode(msgspec.json.encode(world.memory), type=Memory) == world.memory
    fresh = State(ONE)
    fresh.apply(world.state.records.values())
    assert decide(fresh, "ftf", world.memory, world.now_s + 1.0) == decide(
        world.state, "ftf", world.memory, world.now_s + 1.0
    )


def test_what_outlives_what_was_expected_of_it_is_no_longer_known_to_be_nearly_done() -> None:
    """One was said to take 100 s and has run for 200: another that takes an hour is shorter than what nobody knows."""
    world = World(ONE, "shortest-remaining", job("late", 1, duration_s=100.0))
    world.decide()
    world.comes(job("hour", 2, duration_s=3600.0))
    assert stopped(world.decide(50.0)) == {}
    assert stopped(world.decide(150.0)) == {"late": "preempted"}
