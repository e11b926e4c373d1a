"""How many servers keep a percentile of response times, against textbook values and queues played out."""

import heapq

import numpy as np
import pytest

from suanli.domain.traffic import BUCKETS, bucket_of
from suanli.policies.autoscale.queueing import Stream, Times, fewest_servers, times_of


def fixed(seconds: float) -> Times:
    return Times(np.array([seconds]), np.array([1.0]))


def exponential(mean_s: float) -> Times:
    quantiles = (np.arange(2000) + 0.5) / 2000
    return Times(-mean_s * np.log1p(-quantiles), np.full(2000, 1 / 2000))


def late_share(servers: int, per_s: float, service: Times, limit_s: float) -> float:
    """By playing 60,000 Poisson arrivals through a queue with so many servers."""
    chance = np.random.default_rng(7)
    arrivals = np.cumsum(chance.exponential(1 / per_s, 60_000))
    serving = chance.choice(service.seconds, p=service.weights, size=len(arrivals))
    free = [0.0] * servers
    late = 0
    for arrived_s, takes_s in zip(arrivals, serving, strict=True):
        done_s = max(arrived_s, heapq.heappop(free)) + takes_s
        heapq.heappush(free, done_s)
        late += done_s - arrived_s > limit_s
    return late / len(arrivals)


@pytest.mark.parametrize("per_s", [5.0, 20.0, 60.0, 150.0])
@pytest.mark.parametrize(
    ("service", "limit_s"), [(fixed(0.05), 0.16), (exponential(0.05), 0.3), (fixed(0.05), 0.06)]
)
def test_the_fewest_servers_keep_the_limit_when_the_queue_is_played_out_and_two_fewer_do_not(
    per_s: float, service: Times, limit_s: float
) -> None:
    servers = fewest_servers(Stream(per_s), service, limit_s)
    assert servers is not None
    assert late_share(servers, per_s, service, limit_s) <= 0.06
    if servers > 2 and servers - 2 > per_s * service.mean_s:
        assert late_share(servers - 2, per_s, service, limit_s) > 0.05


def test_burstier_arrivals_and_later_answers_need_more_servers() -> None:
    even, bursty = (fewest_servers(Stream(60.0, scv), fixed(0.05), 0.16) for scv in (0.5, 8.0))
    assert even is not None
    assert bursty is not None
    assert even < bursty
    first_token = fewest_servers(Stream(60.0), fixed(0.05), 0.06, answer=fixed(0.01))
    whole = fewest_servers(Stream(60.0), fixed(0.05), 0.06)
    assert first_token is not None
    assert whole is not None
    assert first_token < whole


def test_what_serving_alone_takes_too_long_for_no_number_of_servers_keeps() -> None:
    assert fewest_servers(Stream(1.0), fixed(0.2), 0.16) is None


def test_servers_come_in_multiples_of_what_a_replica_takes_at_a_time() -> None:
    assert fewest_servers(Stream(60.0), fixed(0.05), 0.16, at_a_time=4) == 4
    assert fewest_servers(Stream(100.0), fixed(0.05), 0.16, at_a_time=4) == 8


def test_a_histograms_mean_is_the_exact_one_where_the_sum_is_known() -> None:
    counts = [0] * BUCKETS
    counts[bucket_of(0.05)], counts[bucket_of(0.1)] = 30, 10
    times = times_of(tuple(counts), 40 * 0.0625)
    assert times is not None
    assert times.mean_s == pytest.approx(0.0625)
    assert times.above(0.08) == pytest.approx(0.25)
    assert times_of((0,) * BUCKETS) is None
