"""What holds for the metrics of every simulation."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanli.domain.fleet import Fleet, Node
from suanli.policies.registry import parse
from suanli.sim.faults import node_failures
from suanli.sim.metrics import Metrics, measure
from suanli.sim.outcome import Outcome
from suanli.sim.simulation import Conditions, Simulation
from suanli.traces import trace_of
from suanli.traces.generate import GENERATORS
from suanli.traces.mix import Mix

FLEET = Fleet(
    name="mixed",
    nodes=tuple(
        Node(
            name=f"{model}-{i}",
            cpus=16,
            memory_bytes=2**37,
            accelerators=(model,) * count,
            price_per_hour=1.0,
        )
        for model, count in [("V100-16GB", 4), ("K80", 2)]
        for i in range(3)
    ),
)
MIX = Mix(sizes=((1, 0.6), (2, 0.2), (4, 0.15), (8, 0.05)), sigma=1.0, longest_s=20_000.0)


def played(kind: str, seed: int, policy: str, fails: bool, jobs: int = 25) -> Outcome:
    rng = np.random.default_rng(seed)
    trace = trace_of(GENERATORS[kind](FLEET, jobs, 1.0, rng, MIX), FLEET)
    faults = node_failures(FLEET, 5e5, 1e5, 2e3, rng) if fails else ()
    conditions = Conditions(start_s=5.0, restart_s=30.0, stop_s=2.0, oracle=policy.startswith("s"))
    return Simulation(trace, FLEET, parse(policy), conditions, rng, faults=faults).run()


@settings(max_examples=12)
@given(
    st.sampled_from(sorted(GENERATORS)),
    st.integers(0, 2**20),
    st.sampled_from(["fifo", "priority", "sjf", "srtf+spread"]),
    st.booleans(),
)
def test_metrics_stay_within_what_is_possible(kind: str, seed: int, policy: str, fails: bool) -> None:
    outcome = played(kind, seed, policy, fails)
    metrics = measure(outcome)
    assert metrics.jobs_done == metrics.jobs == 25
    assert 0 <= metrics.utilisation <= metrics.allocation <= 1 + 1e-9
    assert all(0 <= share <= 1 + 1e-9 for share in metrics.usage.allocated.values())
    assert metrics.fragmentation is not None
    assert -1e-9 <= metrics.fragmentation <= 1 - metrics.allocation + 1e-6
    assert 0 < metrics.cost <= metrics.usage.fleet_cost + 1e-9
    assert _between(metrics.jct_p50_s, metrics.jct_p99_s, metrics.makespan_s)
    assert _between(metrics.wait_mean_s, metrics.jct_mean_s)
    assert _between(1.0, metrics.slowdown_mean)
    assert _between(metrics.apdex, 1.0)
    assert metrics.deadlines_met <= metrics.deadlines
    assert sum(group.jobs for group in metrics.by_size) == metrics.jobs


def _between(*rising: float | None) -> bool:
    known = [value for value in rising if value is not None]
    return len(known) == len(rising) and known == sorted(known)


def test_the_metrics_are_the_same_whatever_the_order_of_the_stays() -> None:
    outcome = played("bursts", 3, "priority", fails=True)
    turned = msgspec.structs.replace(outcome, stays=outcome.stays[::-1])
    assert _rounded(measure(outcome)) == pytest.approx(_rounded(measure(turned)))


def _rounded(metrics: Metrics) -> list[float]:
    return [value for value in msgspec.structs.astuple(metrics) if isinstance(value, float)]
