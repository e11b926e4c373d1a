"""A limit by time, on its own."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.serving.admission.windows import SLOTS, Window, of_requests


@pytest.mark.parametrize(
    ("rate", "limit", "window_s"), [(10, 10, 1.0), (2.5, 3, 1.2), (0.5, 1, 2.0), (0.001, 1, 1000.0)]
)
def test_a_rate_is_whole_requests_in_a_window_and_no_less_on_average(
    rate: float, limit: int, window_s: float
) -> None:
    assert of_requests(rate) == (limit, pytest.approx(window_s))


def test_what_was_used_comes_back_a_window_later_and_what_was_not_at_once() -> None:
    window = Window(10, 1.0)
    window.hold(10, 5.0)
    assert window.free(5.0) == 0
    window.settle(5.0, used=4, returned=6)
    assert window.free(5.0) == 6
    assert window.free(5.999) == 6
    assert window.free(6.0 + 1.5 / SLOTS) == 10


uses = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5)), min_size=1, max_size=30)


@given(uses=uses, need=st.integers(1, 20), extra_s=st.floats(0, 0.5))
def test_who_comes_back_when_told_finds_room_and_a_little_earlier_finds_none(
    uses: list[tuple[float, int]], need: int, extra_s: float
) -> None:
    window = Window(20, 1.0)
    for at_s, amount in sorted(uses):
        if window.free(at_s) >= amount:
            window.hold(amount, at_s)
            window.settle(at_s, amount, 0)
    now_s = max(at_s for at_s, _ in uses) + extra_s
    retry_s = window.retry_s(need, now_s, held_is_used=True)
    if retry_s == 0.0:
        assert window.free(now_s) >= need
    else:
        earlier_s = now_s + retry_s - 1.5 / SLOTS
        assert earlier_s < now_s or window.free(earlier_s) < need
        assert window.free(now_s + retry_s + 1e-9) >= need


def test_more_than_the_limit_never_fits() -> None:
    assert window_of_ten().retry_s(11, 0.0, held_is_used=True) == math.inf


def test_a_request_that_was_let_in_is_counted_from_then_though_its_worker_has_not_said_so() -> None:
    window = window_of_ten()
    window.hold(10, 1.0)
    assert window.retry_s(1, 1.4, held_is_used=True) == pytest.approx(0.6, abs=1.1 / SLOTS)
    assert window.retry_s(1, 1.4, held_is_used=False) == 0.5


def test_another_limit_goes_on_with_what_was_used() -> None:
    window = window_of_ten()
    window.hold(8, 1.0)
    window.settle(1.0, 6, 0)
    assert window.resized(20, 2.0).free(1.5) == 12
    assert window.resized(4, 1.0).free(1.5) == -4
    assert window.resized(20, 2.0).free(3.1) == 18  # two are held still


def window_of_ten() -> Window:
    return Window(10, 1.0)
