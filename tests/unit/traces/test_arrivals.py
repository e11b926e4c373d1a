"""The order and number of arrivals of FGD's protocol."""

import math

import numpy as np
import pytest

from suanli.traces import Row, Table, arrivals, fleet_of, trace_of
from suanli.traces.arrivals import accelerators_of

FLEET = fleet_of("gavel:20xT4")


def pods(*counts: float):
    rows = tuple(
        Row(name=f"p{i}", at_s=i, work=math.inf, accelerators=("T4",) if c else (), accelerators_per_node=c)
        for i, c in enumerate(counts)
    )
    return trace_of(Table(name="pods", rows=rows), FLEET)


def asked(trace) -> float:
    return sum(accelerators_of(arrival.workload) for arrival in trace.arrivals)


def test_copies_are_appended_until_the_next_would_ask_for_too_much() -> None:
    trace = arrivals(pods(1, 1, 0.5, 0), FLEET, 1.3, np.random.default_rng(1))
    assert asked(trace) <= 26
    assert asked(trace) > 26 - 1
    names = [arrival.workload.name for arrival in trace.arrivals]
    assert len(set(names)) == len(names)
    assert sorted(names[:4]) == ["p0", "p1", "p2", "p3"]
    assert [arrival.at_s for arrival in trace.arrivals] == list(range(len(names)))


def test_a_last_copy_of_a_pod_with_several_devices_may_exceed_what_was_to_be_asked_for() -> None:
    """As in the authors' simulator, which holds one of its devices against the room that is left."""
    exceeding = [asked(arrivals(pods(8), FLEET, 1.3, np.random.default_rng(seed))) for seed in range(3)]
    assert exceeding == [32, 32, 32]


def test_where_more_is_asked_for_some_are_left_out() -> None:
    trace = arrivals(pods(*[1] * 50), FLEET, 1.3, np.random.default_rng(1))
    assert asked(trace) == 26
    assert len({arrival.workload.name for arrival in trace.arrivals}) == 26


def test_the_same_seed_gives_the_same_arrivals_and_another_does_not() -> None:
    once, again, other = (
        arrivals(pods(*[1] * 30), FLEET, 1.3, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    assert once == again
    assert once != other


def test_the_order_of_the_file_does_not_matter() -> None:
    trace = pods(*[1] * 10)
    turned = type(trace)(name="pods", arrivals=trace.arrivals[::-1])
    assert arrivals(trace, FLEET, 1, np.random.default_rng(3)) == arrivals(
        turned, FLEET, 1, np.random.default_rng(3)
    )


@pytest.mark.parametrize("counts", [(0, 0), ()])
def test_what_asks_for_no_accelerators_is_only_shuffled(counts) -> None:
    assert len(arrivals(pods(*counts), FLEET, 1.3, np.random.default_rng(1)).arrivals) == len(counts)
