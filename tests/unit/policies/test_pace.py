"""How fast replicas are, as their answers show."""

import pytest

from suanli.policies.pace import ENOUGH, Mean, Pace


def works(pace: Pace, each_s: float, *, times: int = 200, together: int = 1, from_s: float = 0.0) -> float:
    """Is given `together` requests when it has none, again and again; when that is over."""
    now_s = from_s
    for number in range(times):
        if number % together == 0:
            now_s += 5.0  # without anything to do
            pace.begins(now_s)
        now_s += each_s
        pace.answered(now_s)
    return now_s


def test_a_replica_that_takes_half_the_time_is_twice_as_fast() -> None:
    usual = Mean()
    quick, slow, now_s = Pace(usual), Pace(usual), 0.0
    for _ in range(300):
        now_s = works(quick, 0.1, times=2, from_s=now_s)
        now_s = works(slow, 0.2, times=1, from_s=now_s)
    assert quick.speed / slow.speed == pytest.approx(2.0, rel=0.01)
    assert slow.speed < 1.0 < quick.speed


def test_who_has_more_to_do_at_a_time_looks_no_faster_or_slower_for_it() -> None:
    usual = Mean()
    alone, busy = Pace(usual), Pace(usual)
    works(alone, 0.1)
    works(busy, 0.1, together=10)
    assert busy.speed == pytest.approx(alone.speed)


def test_too_few_answers_say_nothing() -> None:
    usual = Mean()
    works(Pace(usual), 0.1)
    fresh = Pace(usual)
    works(fresh, 9.0, times=ENOUGH - 1)
    assert fresh.speed == 1.0


def test_who_was_slow_once_and_is_given_nothing_since_is_thought_better_of() -> None:
    usual = Mean()
    once_slow, slow, average = Pace(usual), Pace(usual), Pace(usual)
    works(once_slow, 1.0)
    now_s = works(slow, 1.0)
    works(average, 0.1, times=1000)
    assert once_slow.speed == pytest.approx(0.1, rel=0.01)
    for _ in range(200):
        once_slow.second_over()
        now_s = works(slow, 1.0, times=1, from_s=now_s)
        slow.second_over()
        works(average, 0.1, times=50)
    assert once_slow.speed > 0.8
    assert slow.speed == pytest.approx(0.1, rel=0.3), "who goes on answering is known by that"
