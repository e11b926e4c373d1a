"""What holds of every policy that shares accelerators over time, through the step, on random traces."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.sim.lives import life

from suanli.domain.decision import Memory
from suanli.domain.record import Status
from suanli.kernel.invariants import violations
from suanli.kernel.state import State, by_seq
from suanli.kernel.step import step
from suanli.policies import registry
from suanli.sim.outcome import Outcome
from suanli.sim.simulation import Conditions, Simulation

SHARES = st.sampled_from(list(registry.SHARES))
WORLDS = st.sampled_from(
    [Conditions(), Conditions(start_s=5, restart_s=30, stop_s=3), Conditions(oracle=True, restart_s=10)]
)


@pytest.mark.parametrize("policy", registry.SHARES)
def test_all_that_fits_is_done_whatever_fails_meanwhile(policy: str) -> None:
    for seed, world in ((1, Conditions()), (2, Conditions(start_s=5, restart_s=30, stop_s=3, oracle=True))):
        outcome = life(seed, policy, jobs=20, conditions=world, failures=True).run()
        assert outcome.is_whole
        for record in outcome.records:
            assert record.status is Status.SUCCEEDED
            assert record.done == pytest.approx(outcome.work[record.key], rel=1e-6)


@settings(max_examples=8)
@given(st.integers(0, 999), SHARES, WORLDS)
def test_every_step_keeps_the_invariants(seed: int, policy: str, world: Conditions) -> None:
    run = life(seed, policy, jobs=20, conditions=world, failures=True)
    while run.advance():
        decision, _ = step(run.state, run.policy, run.memory, run.now_s, np.random.default_rng(0))
        assert violations(run.state, decision) == ()


@settings(max_examples=8)
@given(st.integers(0, 999), SHARES, WORLDS)
def test_nothing_is_lost_with_what_a_controller_has_in_memory(
    seed: int, policy: str, world: Conditions
) -> None:
    """At each instant one run starts anew from what has been recorded: its records, and the memory as it is stored."""
    whole = life(seed, policy, jobs=20, conditions=world).run()
    assert _restarted_all_the_time(life(seed, policy, jobs=20, conditions=world)) == whole


def _restarted_all_the_time(run: Simulation) -> Outcome:
    while run.advance():
        run.memory = msgspec.json.decode(msgspec.json.encode(run.memory), type=Memory)
        state = State(run.fleet)
        state.apply(by_seq(run.state.records))
        run.state = state
    return msgspec.structs.replace(run.outcome(), policy_cpu_s=0.0)
