"""What gateways' workers say becomes what is asked of a service now, and what it was ever asked."""

from collections.abc import Sequence

from suanli.control.traffic import Traffic
from suanli.domain.traffic import BUCKETS, Counted, Demand, bucket_of
from suanli.serving.gateway.stats import ServiceStats, WorkerStats

FAST_S, SLOW_S = 0.05, 0.8


def worker(
    arrived: int, at_s: float, *, pid: int = 1, served_s: float = FAST_S, revision: int = 1, waiting: int = 0
) -> WorkerStats:
    """All that arrived was answered, in so many seconds."""
    served = [0] * BUCKETS
    served[bucket_of(served_s)] = arrived
    counted = Counted(requests=arrived, latency=served, served=served, served_seconds=arrived * served_s)
    service = ServiceStats(arrived=arrived, waiting=waiting, by_revision={str(revision): counted})
    return WorkerStats(pid=pid, started_s=0.0, at_s=at_s, routes_version=1, services={"chat": service})


def seen_by_second(traffic: Traffic, told: Sequence[WorkerStats]) -> Demand:
    """One worker, second by second; the demand in the end."""
    return [_see(traffic, stats) for stats in told][-1]


def _see(traffic: Traffic, stats: WorkerStats) -> Demand:
    traffic.take([stats], stats.at_s)
    return traffic.demand("chat", [stats], 1, stats.at_s)


def test_rates_of_several_workers_add_up_though_each_tells_at_its_own_time() -> None:
    traffic = Traffic()
    told = [[worker(10 * i, i / 2), worker(20 * i, i / 2 - 0.3, pid=2)] for i in range(41)]
    for seen in told:
        traffic.take(seen, seen[0].at_s)
    demand = traffic.demand("chat", told[-1], 1, 20.0)
    assert {count / length_s for length_s, count in demand.arrivals if length_s <= 15.0} == {60.0}


def test_requests_are_counted_for_as_long_as_anybody_listens() -> None:
    traffic = Traffic()
    assert traffic.arrived("chat") == 0
    traffic.take([worker(1000, 10.0)], 10.0)
    traffic.take([worker(1040, 11.0), worker(5, 11.0, pid=2)], 11.0)
    traffic.take([worker(7, 5000.0, pid=2)], 5000.0)
    assert traffic.arrived("chat") == 42


def test_a_worker_that_was_silent_for_a_while_is_not_counted_anew() -> None:
    traffic = Traffic()
    traffic.take([], 0.0)
    traffic.take([worker(100, 1.0)], 1.0)
    traffic.take([], 20.0)
    traffic.take([worker(130, 21.0)], 21.0)
    assert traffic.arrived("chat") == 130
    demand = traffic.demand("chat", [worker(130, 21.0)], 1, 21.0)
    assert demand.arrived == 30


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    told = [worker(50 * second, float(second)) for second in range(10)]
    traffic = Traffic()
    seen_by_second(traffic, told)
    new = worker(50, 2000.0, revision=2)
    new.services["chat"].by_revision["1"] = told[-1].services["chat"].by_revision["1"]
    assert list(traffic.windows("chat", 0.0)) == [1]
    _see(traffic, new)
    _see(traffic, new)
    assert list(traffic.windows("chat", 0.0)) == [2]


def test_a_service_that_nobody_asked_yet_is_idle_for_as_long_as_anybody_listens() -> None:
    traffic = Traffic()
    traffic.take([], 100.0)
    assert traffic.demand("chat", [], 1, 130.0).idle_s == 30.0


def test_recent_is_the_last_minute_and_calm_the_fastest_one() -> None:
    fast = [worker(50 * second, float(second)) for second in range(100)]
    slow = [with_slow(worker(50 * 99, float(second)), 50 * (second - 99)) for second in range(100, 200)]
    demand = seen_by_second(Traffic(), [*fast, *slow])
    assert sum(demand.recent.latency[bucket_of(SLOW_S) :]) == demand.recent.requests == 60 * 50
    assert sum(demand.calm.latency[: bucket_of(FAST_S) + 1]) == demand.calm.requests > 0


def test_a_slower_revision_has_a_calm_of_its_own() -> None:
    fast = [worker(50 * second, float(second)) for second in range(100)]
    slow = [
        worker(50 * (second - 99), float(second), served_s=SLOW_S, revision=2) for second in range(100, 200)
    ]
    for stats in slow:
        stats.services["chat"].by_revision["1"] = fast[-1].services["chat"].by_revision["1"]
    demand = seen_by_second(Traffic(), [*fast, *slow])
    assert sum(demand.calm.latency[bucket_of(SLOW_S) :]) == demand.calm.requests > 0


def with_slow(stats: WorkerStats, count: int) -> WorkerStats:
    """And so many slow answers."""
    counted = stats.services["chat"].by_revision["1"]
    counted.requests += count
    counted.latency[bucket_of(SLOW_S)] += count
    return stats


def test_while_no_worker_says_anything_nothing_is_known() -> None:
    assert not Traffic().demand("chat", [], 1, 10.0).known
