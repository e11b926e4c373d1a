"""What holds of every simulation."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.sim.lives import life

from suanli.domain.record import Status
from suanli.kernel.invariants import violations
from suanli.kernel.step import step
from suanli.policies import registry
from suanli.sim.simulation import Conditions, Simulation

POLICIES = st.sampled_from(
    [f"{order}+{place}" for order in registry.ORDERS for place in ("first-fit", "best-fit", "spread")]
)
MIGRATE = st.sampled_from([0.0, 0.3])
WORLDS = st.sampled_from(
    [Conditions(), Conditions(start_s=5, restart_s=30, stop_s=3), Conditions(oracle=True)]
)


@settings(max_examples=15)
@given(st.integers(0, 999), POLICIES, WORLDS, st.booleans())
def test_all_that_fits_is_done_and_takes_at_least_as_long_as_its_work(
    seed: int, policy: str, world: Conditions, failures: bool
) -> None:
    outcome = life(seed, policy, conditions=world, failures=failures).run()
    assert outcome.is_whole
    for record in outcome.records:
        assert record.status is Status.SUCCEEDED
        assert record.ended_s is not None
        fastest = max(record.workload.speeds.values(), default=1.0)
        assert record.ended_s - record.submitted_s >= outcome.work[record.key] / fastest - 1e-6
        assert record.done == pytest.approx(outcome.work[record.key], rel=1e-6)


@settings(max_examples=15)
@given(st.integers(0, 999), POLICIES, st.booleans(), MIGRATE)
def test_no_device_is_ever_held_beyond_itself_and_no_workload_runs_twice(
    seed: int, policy: str, failures: bool, migrate: float
) -> None:
    outcome = life(seed, policy, conditions=Conditions(stop_s=3), failures=failures, migrate=migrate).run()
    held: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for stay in outcome.stays:
        for placement in stay.placements:
            for device in placement.share.devices:
                spans = held.setdefault((placement.node, device), [])
                spans.append((stay.placed_s, placement.share.device_share))
                spans.append((stay.ended_s, -placement.share.device_share))
    for spans in held.values():
        level = 0.0
        for _, change in sorted(spans):
            level += change
            assert level <= 1.0 + 1e-6
    by_key: dict[str, list[tuple[float, float]]] = {}
    for stay in outcome.stays:
        by_key.setdefault(stay.key, []).append((stay.placed_s, stay.ended_s))
    for spans in by_key.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(spans)))


@settings(max_examples=10)
@given(st.integers(0, 999), POLICIES, MIGRATE)
def test_the_same_seed_is_the_same_run_and_every_step_of_it_keeps_the_invariants(
    seed: int, policy: str, migrate: float
) -> None:
    one, again = (life(seed, policy, migrate=migrate) for _ in range(2))
    while one.advance():
        decision, _ = step(one.state, one.policy, one.memory, one.now_s, np.random.default_rng(0))
        assert violations(one.state, decision) == ()
    assert one.outcome() == again.run()


@settings(max_examples=15)
@given(st.integers(0, 999), POLICIES, st.integers(5, 80))
def test_a_run_that_goes_on_from_a_copy_of_its_middle_ends_as_it_would_have(
    seed: int, policy: str, instants: int
) -> None:
    """Where nothing more arrives, what is left of each workload is known, and nobody may end what has just begun."""
    run = life(seed, policy, jobs=25, conditions=Conditions(oracle=True), priorities=(50,))
    while run.arrived < 25:
        if not run.advance():
            break
    for _ in range(instants % 7):
        run.advance()
    left = {
        record.key: run.left(record) for record in (*run.state.live.values(), *run.state.waiting.values())
    }
    nobody = msgspec.structs.replace(run.trace, arrivals=())
    twin = Simulation.going_on(
        run.state,
        run.memory,
        left,
        nobody,
        run.policy,
        Conditions(oracle=True),
        np.random.default_rng(seed),
        run.now_s,
    )
    ended = {r.key: r.ended_s for r in twin.run().records}
    expected = {r.key: r.ended_s for r in run.run().records}
    assert ended == {key: pytest.approx(at_s, abs=1e-3) for key, at_s in expected.items()}
