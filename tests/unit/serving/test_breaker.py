"""A replica that fails is left out, longer each time, and comes back by one probe."""

from suanli.serving.gateway.breaker import UNREACHED, Breaker


def opened() -> Breaker:
    breaker = Breaker(UNREACHED)
    for _ in range(3):
        breaker.began()
        breaker.failed(10.0)
    return breaker


def test_three_failures_in_a_row_open_it_for_a_second() -> None:
    breaker = Breaker(UNREACHED)
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.passes(0.0)
    breaker.succeeded()
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.passes(0.0)
    breaker.failed(0.0)
    assert not breaker.passes(0.9)
    assert breaker.passes(1.0)


def test_one_probe_goes_and_no_other_until_it_is_known() -> None:
    breaker = opened()
    assert breaker.passes(11.0)
    breaker.began()
    assert not breaker.passes(11.0)
    breaker.succeeded()
    assert breaker.passes(11.0)


def test_each_failed_probe_doubles_the_time_up_to_thirty_seconds() -> None:
    breaker, now_s, waits = opened(), 10.0, []
    for _ in range(8):
        waits.append(breaker.open_until_s - now_s)
        now_s = breaker.open_until_s
        breaker.began()
        breaker.failed(now_s)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_requests_that_were_under_way_do_not_make_it_longer() -> None:
    breaker = opened()
    for _ in range(20):
        breaker.failed(10.5)
    assert breaker.passes(11.0)


def test_a_probe_whose_client_left_lets_the_next_one_try() -> None:
    breaker = opened()
    breaker.began()
    breaker.gave_up()
    assert breaker.passes(11.0)
