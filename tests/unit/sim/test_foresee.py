"""When a workload starts, foreseen from a live state, where it can be worked out by hand."""

import numpy as np
import pytest
from tests.building import NOW_S, decide, fleet, node, running, state_of, succeeded, waiting, workload

from suanli.domain.decision import Memory
from suanli.domain.record import Record
from suanli.domain.workload import Kind, Service
from suanli.kernel.relax import changes_that_help
from suanli.kernel.state import State
from suanli.policies.registry import parse
from suanli.sim.foresee import Foresight, foresee, runs_if

RAN_S = 7200.0
"""What `running` says that it has run."""


def true_to_their_word() -> list[Record]:
    """So many finished within what they declared, to the second, that declarations are believed."""
    return [
        succeeded(workload(f"old{i}", run=(f"old{i}",), duration_s=100.0 * (i + 1)), ran_s=100.0 * (i + 1), seq=i,
                  submitted_s=NOW_S - 10 * 86_400)
        for i in range(12)
    ]  # fmt: skip


def busy(ends_in_s: float, name: str = "busy", device: int = 0) -> Record:
    what = workload(name, gpus=1, run=(name,), duration_s=RAN_S + ends_in_s, preemptible=False)
    return running(what, ("n0", (device,)), submitted_s=NOW_S - 2 * 86_400)


def asked(state: State, key: str, policy: str = "fifo") -> Foresight:
    rng = np.random.default_rng(0)
    return foresee(state, Memory(), parse(policy), key, NOW_S, rng)


def new(name: str, gpus: int = 1, seq: int = 50, **more: float) -> Record:
    return waiting(workload(name, gpus=gpus, run=(name,), **more), seq=seq)  # pyright: ignore[reportArgumentType]


def test_it_starts_when_what_is_in_its_place_ends() -> None:
    state = state_of(fleet(node(gpus=1)), *true_to_their_word(), busy(600), new("next"))
    seen = asked(state, "next")
    assert (seen.start_s, seen.earliest_s, seen.latest_s) == pytest.approx((600, 600, 600), abs=1)
    assert (seen.futures, seen.started, seen.known) == (39, 39, 12)


def test_those_before_it_have_their_turn_first() -> None:
    line = new("first", seq=50, duration_s=1000), new("second", seq=51)
    state = state_of(fleet(node(gpus=1)), *true_to_their_word(), busy(600), *line)
    assert asked(state, "second").start_s == pytest.approx(1600, abs=2)
    assert asked(state, "second", "priority").start_s == pytest.approx(1600, abs=2)


def test_the_less_is_known_the_wider_the_band() -> None:
    state = state_of(fleet(node(gpus=1)), busy(600), new("next"))
    seen = asked(state, "next")
    assert seen.earliest_s is not None
    assert seen.latest_s is None or seen.latest_s > 3 * seen.earliest_s


def test_a_long_queue_is_foreseen_on_a_grid_and_hardly_differently() -> None:
    line = [new(f"w{i}", seq=50 + i, duration_s=100.0 * (1 + i % 5)) for i in range(300)]
    state = state_of(
        fleet(node(gpus=4)), *true_to_their_word(), *(busy(60, f"b{i}", i) for i in range(4)), *line
    )
    seen = asked(state, "w299")
    # 90,000 device seconds before it, on four devices
    assert seen.start_s == pytest.approx(60 + 300 * 300 / 4, rel=0.03)
    assert seen.futures < 39


def test_what_never_fits_never_starts() -> None:
    state = state_of(fleet(node(gpus=1)), *true_to_their_word(), busy(600), new("huge", gpus=8))
    seen = asked(state, "huge")
    assert (seen.start_s, seen.earliest_s, seen.started) == (None, None, 0)


def test_a_change_is_offered_only_if_it_holds_when_things_go_on() -> None:
    state = state_of(fleet(node(gpus=4)), *(busy(600, f"b{i}", i) for i in range(3)), new("wide", gpus=2))
    decision, memory = decide(state, "fifo")
    rng = np.random.default_rng(0)
    changes = changes_that_help(state, parse("fifo"), memory, "wide", NOW_S, rng)
    assert decision.reason_for("wide") is not None
    held = {
        change.sentence: runs_if(state, memory, parse("fifo"), "wide", change, NOW_S, rng)
        for change, _ in changes
    }
    assert held
    assert all(held.values())


def test_rounds_in_which_nothing_can_happen_are_not_played_for_ever() -> None:
    what = workload("api", gpus=1, kind=Kind.SERVE, service=Service(), preemptible=False)
    state = state_of(fleet(node(gpus=2)), running(what, ("n0", (0,))), new("wide", gpus=2))
    seen = asked(state, "wide", "max-min")
    assert (seen.started, seen.start_s) == (0, None)


def test_with_turns_and_a_long_job_in_the_way_the_band_is_open() -> None:
    state = state_of(fleet(node(gpus=1)), *true_to_their_word(), busy(400 * 86_400.0), new("next"))
    rng = np.random.default_rng(0)
    seen = foresee(state, Memory(), parse("max-min"), "next", NOW_S, rng, events_max=1000)
    assert (seen.started, seen.start_s) == (0, None)
    assert 3600 < seen.beyond_s < 86_400
