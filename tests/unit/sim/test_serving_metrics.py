"""What is said of a service that was served: shares, percentiles, seconds that broke the promise."""

import math

import numpy as np
import pytest

from suanli.domain.workload import Access
from suanli.sim.serving import Fleet, Requests, serve
from suanli.sim.serving_metrics import attainment, measure, percentile_s, violation_seconds


def test_what_was_refused_did_not_keep_the_limit() -> None:
    assert attainment(np.array([0.1, 0.2, math.inf, 0.3]), 0.2) == 0.5
    assert attainment(np.zeros(0), 0.2) == 1.0


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.75, 3.0), (0.76, 4.0), (1.0, 4.0)])
def test_a_percentile_is_one_of_the_latencies(share: float, expected: float) -> None:
    assert percentile_s(np.array([4.0, 1.0, 3.0, 2.0]), share) == expected


def test_a_percentile_that_had_no_answer_is_not_known() -> None:
    assert percentile_s(np.array([1.0, math.inf]), 0.95) is None
    assert percentile_s(np.zeros(0), 0.95) is None


def test_a_second_breaks_the_promise_by_those_that_came_in_it() -> None:
    arrive_s = np.concatenate([np.full(20, 0.5), np.full(20, 1.5), np.full(20, 3.5)])
    latency_s = np.full(60, 0.1)
    latency_s[0] = 5.0  # one of 20: 95 % were in time
    latency_s[20:22] = math.inf  # two of 20 were not; nobody came in the third second
    assert violation_seconds(arrive_s, latency_s, 0.2) == 1


def test_measures_are_of_one_run() -> None:
    requests = Requests(np.array([0.0, 0.0, 10.0]), np.array([1.0, 1.0, 1.0]))
    told = measure(serve(requests, Fleet(speeds=(1.0,)), Access(concurrency=1, queue=0)), 1.0)
    assert (told.requests, told.answered, told.refused) == (3, 2, 1)
    assert told.attainment == pytest.approx(2 / 3)
    assert told.violation_s == 1
    assert told.replica_hours == pytest.approx(11 / 3600)
