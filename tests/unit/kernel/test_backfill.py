"""Backfilling with reservations, against schedules drawn by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.building import (
    GPU,
    decide,
    fleet,
    node,
    nodes,
    placed,
    running,
    state_of,
    token,
    waiting,
    workload,
)

from suanli.domain.record import Record
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Kind, Workload
from suanli.policies.registry import parse
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Arrival, Trace

RAN_S = 7200.0
"""What `running` says that it has run."""


def works(name: str, gpus: int, lasts_s: float | None, seq: int, *, nodes: int = 1) -> Record:
    return waiting(workload(name, gpus=gpus, duration_s=lasts_s, preemptible=False, nodes=nodes), seq=seq)


def busy(devices: tuple[int, ...], ends_in_s: float | None, on: str = "n0") -> Record:
    told = None if ends_in_s is None else RAN_S + ends_in_s
    name = f"busy-{on}-{devices[0]}"
    return running(workload(name, gpus=len(devices), duration_s=told, preemptible=False), (on, devices))


THREE_OF_FOUR = busy((0, 1, 2), 100)
WHOLE_NODE = works("whole", 4, 50, 1)


@pytest.mark.parametrize("policy", ["easy", "conservative"])
@pytest.mark.parametrize(
    ("lasts_s", "starts"), [(90, True), (100, True), (101, False), (5000, False), (None, False)]
)
def test_only_what_ends_in_time_goes_past(policy: str, lasts_s: float | None, starts: bool) -> None:
    state = state_of(fleet(node(gpus=4)), THREE_OF_FOUR, WHOLE_NODE, works("small", 1, lasts_s, 2))
    decision, _ = decide(state, policy)
    assert ("small" in placed(decision)) is starts
    assert token(decision, "whole") == "ResourcesBusy"
    if not starts:
        why = decision.reason_for("small")
        assert why is not None
        assert (why.token, why.evidence["reserved_for"]) == ("ReservedFor", ("whole",))
    assert "small" in placed(decide(state, "fifo")[0])


def test_what_leaves_enough_beside_the_reservation_goes_past_for_as_long_as_it_likes() -> None:
    pair = works("pair", 2, 100, 1)
    state = state_of(fleet(node(gpus=4)), THREE_OF_FOUR, pair, works("long", 1, None, 2))
    assert "long" in placed(decide(state, "easy")[0])


@pytest.mark.parametrize(("policy", "starts"), [("easy", True), ("conservative", False)])
def test_easy_keeps_room_for_the_first_alone_and_conservative_for_all(policy: str, starts: bool) -> None:
    # from 100 on the pair runs until 200; then the whole node is for `whole`
    waits = works("pair", 2, 100, 1), works("whole", 4, 50, 2), works("long", 1, 250, 3)
    state = state_of(fleet(node(gpus=4)), THREE_OF_FOUR, *waits)
    assert ("long" in placed(decide(state, policy)[0])) is starts


@pytest.mark.parametrize(("lasts_s", "starts"), [(30, True), (31, False)])
def test_conservative_fills_the_gap_before_a_reservation(lasts_s: float, starts: bool) -> None:
    # the gang has both nodes from 30 on: until then n1 is idle
    state = state_of(
        fleet(*nodes(2, gpus=2)),
        busy((0, 1), 30, "n0"),
        works("gang", 2, 50, 1, nodes=2),
        works("pair", 2, lasts_s, 2),
    )
    assert ("pair" in placed(decide(state, "conservative")[0])) is starts


def test_where_no_end_is_foreseen_nobody_is_held_back() -> None:
    state = state_of(fleet(node(gpus=4)), busy((0, 1, 2), None), WHOLE_NODE, works("small", 1, None, 2))
    assert "small" in placed(decide(state, "easy")[0])


def test_what_has_run_too_long_is_not_counted_on_at_once() -> None:
    overdue = busy((0, 1, 2), -500)  # expected to run as long again as it is over
    for lasts_s, starts in ((500, True), (501, False)):
        state = state_of(fleet(node(gpus=4)), overdue, WHOLE_NODE, works("small", 1, lasts_s, 2))
        assert ("small" in placed(decide(state, "easy")[0])) is starts


def test_what_started_in_this_very_step_is_foreseen_to_end_too() -> None:
    first, whole = works("first", 3, 100, 1), works("whole", 4, 50, 2)
    for lasts_s, starts in ((100, True), (101, False)):
        state = state_of(fleet(node(gpus=4)), first, whole, works("small", 1, lasts_s, 3))
        decision, _ = decide(state, "easy")
        assert "first" in placed(decision)
        assert ("small" in placed(decision)) is starts


def job(i: int, at_s: float, gang: int, work: float) -> Arrival:
    demand = Demand(cpus=1.0, accelerators=(AcceleratorDemand(GPU, 1.0),))
    told = Workload(name=f"j{i}", kind=Kind.TRAIN, run=("x",), nodes=gang, demand=demand, preemptible=False)
    return Arrival(at_s=at_s, workload=told, work=work)


JOBS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4), st.integers(1, 60)), min_size=2, max_size=14)


@settings(max_examples=40)
@given(JOBS, st.data())
def test_under_conservative_backfilling_nobody_waits_longer_because_of_later_arrivals(
    drawn: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Where all durations are known and nodes are alike (Mu'alem and Feitelson 2001)."""
    at_s, arrivals = 0.0, list[Arrival]()
    for i, (after_s, gang, work) in enumerate(drawn):
        at_s += after_s
        arrivals.append(job(i, at_s, gang, work))
    first = data.draw(st.integers(1, len(arrivals) - 1))

    def starts_s(of: list[Arrival]) -> list[float]:
        run = Simulation(
            Trace(name="t", arrivals=tuple(of)),
            fleet(*nodes(4, gpus=1)),
            parse("conservative+first-fit"),
            Conditions(oracle=True),
            np.random.default_rng(0),
        )
        stays = {stay.key: stay.placed_s for stay in run.run().stays}
        return [stays[f"j{i}"] for i in range(first)]

    for alone_s, among_others_s in zip(starts_s(arrivals[:first]), starts_s(arrivals), strict=True):
        assert among_others_s <= alone_s + 1e-6
