"""How many replicas what is asked of a service needs, by each metric."""

from datetime import UTC, datetime

import msgspec
import pytest

from suanli.domain.traffic import BUCKETS, Demand, Window, bucket_of
from suanli.domain.workload import Access, Floor, Scaling, Service, Slo
from suanli.policies.autoscale.wanted import Seen, Want, metric_of, rate_per_s, wanted

MONDAY_S = datetime(2026, 3, 2, tzinfo=UTC).timestamp()


def answers(seconds: float, count: int = 100) -> tuple[int, ...]:
    histogram = [0] * BUCKETS
    histogram[bucket_of(seconds)] = count
    return tuple(histogram)


def window(latency_s: float, served_s: float, count: int = 100) -> Window:
    latency, served = answers(latency_s, count), answers(served_s, count)
    return Window(
        requests=count, latency=latency, first_byte=latency, served=served, served_s=count * served_s
    )


def asked(per_s: float, *, since_s: float = 60.0, before_per_s: float = 0.0, **more: object) -> Demand:
    """So many requests a second for `since_s`, before that others."""
    arrivals = tuple(
        (s, round(per_s * min(s, since_s) + before_per_s * max(0.0, s - since_s)))
        for s in (2.0, 5.0, 15.0, 60.0)
    )
    return Demand(known=True, arrivals=arrivals, **more)  # type: ignore[arg-type]


def want(service: Service, demand: Demand, *, ready: int = 1, used: float | None = None) -> Want:
    found = wanted(service, Seen(demand=demand, ready=ready, used=used), MONDAY_S)
    assert found is not None
    return found


SERIAL = Service(replicas_max=20, slo=Slo(p95_s=0.2), access=Access(concurrency=1))


def test_the_metric_is_the_slo_where_a_latency_is_promised_and_concurrency_elsewhere() -> None:
    assert metric_of(SERIAL) == "slo"
    assert metric_of(Service(slo=Slo(availability=0.99))) == "concurrency"
    assert metric_of(Service(slo=Slo(p95_s=1.0), scaling=Scaling(metric="rps", target=1.0))) == "rps"


def test_a_promised_latency_says_how_many_replicas_and_why() -> None:
    found = want(SERIAL, asked(60.0, recent=window(0.05, 0.05)))
    assert found == Want(4, "60 requests/s at 50 ms each need 4 replicas for a p95 of 200 ms")
    assert want(SERIAL, asked(15.0, recent=window(0.05, 0.05))).replicas == 2
    assert want(SERIAL, asked(0.0, recent=window(0.05, 0.05))).replicas == 1


def test_what_waits_already_is_caught_up_with() -> None:
    demand = asked(60.0, recent=window(0.05, 0.05), waiting=100)
    found = want(SERIAL, demand)
    assert found.replicas == 6
    assert "100 requests wait" in found.why
    slow = wanted(SERIAL, Seen(demand=demand, ready=1, startup_s=20.0), MONDAY_S)
    assert slow is not None
    assert slow.replicas == 4, "what waits is not to be over before a replica is there"


def test_a_latency_out_of_reach_gets_replicas_enough_to_serve_and_says_so() -> None:
    found = want(SERIAL, asked(20.0, recent=window(0.4, 0.4)))
    assert found.replicas == 12
    assert "however many" in found.why


def test_until_answers_have_been_timed_ongoing_requests_decide() -> None:
    assert want(SERIAL, asked(60.0, ongoing=7.0)).replicas == 10


def test_a_burst_counts_as_soon_as_chance_cannot_explain_it() -> None:
    steady = asked(15.0)
    burst = [rate_per_s(asked(60.0, since_s=s, before_per_s=15.0)) for s in (0.5, 2.0, 5.0, 15.0)]
    assert rate_per_s(steady) == pytest.approx(15.0)
    assert burst[0] == pytest.approx(15.0, rel=0.05)
    assert burst[1:] == pytest.approx([60.0] * 3, rel=0.02), "then it counts for what it is"
    noisy = msgspec.structs.replace(asked(60.0, since_s=2.0, before_per_s=15.0), dispersion=10.0)
    assert rate_per_s(noisy) < 20.0, "what always came in bursts says nothing by another one"


@pytest.mark.parametrize(
    ("service", "why"),
    [
        (SERIAL, "60 requests/s are foretold at 50 ms each need 4 replicas for a p95 of 200 ms"),
        (
            Service(replicas_max=20, scaling=Scaling(metric="rps", target=15.0)),
            "60 requests/s are foretold, 15 a replica",
        ),
        (
            Service(replicas_max=20, access=Access(concurrency=1), scaling=Scaling(target=0.75)),
            "3 ongoing requests are foretold, 0.75 a replica",
        ),
    ],
)
def test_what_is_foretold_counts_where_it_is_more_than_what_comes(service: Service, why: str) -> None:
    quiet = asked(5.0, recent=window(0.05, 0.05), ongoing=0.25)
    foretold = msgspec.structs.replace(quiet, expected_per_s=60.0)
    assert want(service, foretold) == Want(4, why)
    assert want(service, msgspec.structs.replace(quiet, expected_per_s=1.0)) == want(service, quiet)


FREE = Service(replicas_max=20, slo=Slo(p95_s=0.2))
"""A replica may be asked any number of requests at a time."""


def told(rate: float, calm: Window, latency_s: float, in_flight: int | None = None, **more: float) -> Demand:
    """So many requests a second, of which each takes so long now."""
    now = window(latency_s, latency_s)
    ongoing = rate * latency_s
    in_flight = round(ongoing) if in_flight is None else in_flight
    return asked(rate, calm=calm, recent=now, settled=now, ongoing=ongoing, in_flight=in_flight, **more)


@pytest.mark.parametrize(
    ("ready", "rate", "latency_s", "replicas"),
    [
        (2, 60.0, 0.4, 3),  # as slowed as they are
        (
            4,
            60.0,
            0.4,
            4,
        ),  # each alone with one request at a time would do: what they answer slowly came before
        (8, 60.0, 0.05, 4),  # at most half as many at a time
        (4, 60.0, 0.05, 3),  # busy three quarters of the time and not slowed: they take several at a time
        (4, 50.0, 0.05, 4),  # not busy enough to tell
    ],
)
def test_replicas_that_slow_each_other_down_become_more_and_others_fewer(
    ready: int, rate: float, latency_s: float, replicas: int
) -> None:
    seen = told(rate, window(0.05, 0.05), latency_s)
    assert want(FREE, seen, ready=ready).replicas == replicas


def test_replicas_that_are_asked_more_than_they_manage_show_how_many_that_are() -> None:
    crowd = told(60.0, window(0.2, 0.2), 4.0, in_flight=92, crowded=True, crowd_each_per_s=20.0)
    found = want(FREE, crowd, ready=2)
    assert found.replicas == 7, (
        "60/s at 70 % of the 20/s that each manages, and 80 more in 2 s: (86 + 40) / 20"
    )
    assert found.why == (
        "80 requests more than in calm times go on and 60/s come, of which a replica answers 20: "
        "7 replicas catch up in 2 s"
    )
    unknown = msgspec.structs.replace(crowd, crowd_each_per_s=None)
    assert want(FREE, unknown, ready=2).replicas == 2


def test_what_replicas_that_have_just_come_do_is_waited_for() -> None:
    fresh = msgspec.structs.replace(told(60.0, window(0.05, 0.05), 0.4), settled=window(0.4, 0.4, count=9))
    assert want(FREE, fresh, ready=3).replicas == 3


def test_where_hardly_anything_comes_any_more_no_more_answers_are_waited_for() -> None:
    quiet = told(0.1, window(0.05, 0.05), 0.05, in_flight=0)
    assert want(FREE, msgspec.structs.replace(quiet, settled=Window()), ready=6).replicas == 1


def test_what_went_on_lately_and_is_over_counts_no_more() -> None:
    goes_on = msgspec.structs.replace(told(60.0, window(0.05, 0.05), 0.06), ongoing=24.0, in_flight=24)
    assert want(FREE, goes_on, ready=3).replicas > 3
    assert want(FREE, msgspec.structs.replace(goes_on, in_flight=3), ready=3).replicas <= 3


def test_a_service_that_was_never_calm_gets_replicas_nonetheless() -> None:
    half = tuple(a + b for a, b in zip(answers(0.06, 60), answers(0.19, 40), strict=True))
    calm = Window(requests=100, latency=half, first_byte=half, served=half, served_s=11.2)
    seen = told(15.0, calm, 0.5)
    assert want(FREE, seen, ready=1).replicas == 2


def test_a_promise_that_no_number_of_replicas_keeps_changes_nothing() -> None:
    seen = told(15.0, window(0.19, 0.19), 0.4)
    found = want(FREE, seen, ready=3)
    assert found.replicas == 3
    assert "out of reach" in found.why


@pytest.mark.parametrize(
    ("scaling", "demand", "used", "replicas"),
    [
        (Scaling(metric="concurrency", target=4.0), Demand(known=True, ongoing=9.0), None, 3),
        (Scaling(metric="rps", target=20.0), asked(61.0), None, 4),
        (Scaling(metric="queue", target=5.0), Demand(known=True, queued=21.0, ongoing=23.0), None, 5),
        (Scaling(metric="queue", target=5.0), Demand(known=True, ongoing=3.0), None, 3),
        (Scaling(metric="utilisation", target=0.5), Demand(known=True), 0.9, 4),
        (Scaling(metric="utilisation", target=0.5), Demand(known=True), 0.52, 2),
    ],
)
def test_each_metric_has_its_target_for_one_replica(
    scaling: Scaling, demand: Demand, used: float | None, replicas: int
) -> None:
    service = Service(replicas_max=20, scaling=scaling, access=Access(concurrency=1))
    assert want(service, demand, ready=2, used=used).replicas == replicas


def test_use_that_nobody_measured_says_nothing() -> None:
    service = Service(scaling=Scaling(metric="utilisation"))
    assert wanted(service, Seen(demand=Demand(known=True), ready=2), 0.0) is None


def test_a_schedule_holds_by_the_clocks_of_its_zone_until_the_next_entry() -> None:
    floors = (
        Floor(at_s=8 * 3600.0, days=(0, 1, 2, 3, 4), replicas=4),
        Floor(at_s=20 * 3600.0, replicas=1),
    )
    scaling = Scaling(metric="schedule", floors=floors, timezone="Asia/Shanghai")
    service = Service(replicas_max=9, scaling=scaling)
    seen = Seen(demand=Demand(known=True), ready=1)

    def at(day: int, hour_of_shanghai: float) -> int:
        found = wanted(service, seen, MONDAY_S + day * 86_400 + (hour_of_shanghai - 8) * 3600)
        assert found is not None
        return found.replicas

    assert [at(0, 7.9), at(0, 8), at(0, 19.9), at(0, 20), at(1, 7), at(5, 12), at(7, 9)] == [
        1, 4, 4, 1, 1, 1, 4,
    ]  # fmt: skip


def test_a_schedule_is_a_floor_under_what_is_asked() -> None:
    floors = (Floor(at_s=0.0, replicas=3),)
    service = Service(replicas_max=9, scaling=Scaling(metric="rps", target=10.0, floors=floors))
    assert want(service, asked(0.0)) == Want(3, "the schedule has at least 3")
    assert want(service, asked(50.0)).replicas == 5
