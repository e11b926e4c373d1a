"""How fast replicas are, as their answers show."""

import pytest

from suanli.serving.gateway.pace import ENOUGH, Pace


def answered(pace: Pace, usual: Pace, seconds: float, *, at_work: int = 1, times: int = 200) -> None:
    for _ in range(times):
        pace.timed(seconds, at_work)
        usual.timed(seconds, at_work)


def test_a_replica_that_takes_half_the_time_is_twice_as_fast() -> None:
    usual, quick, slow = Pace(), Pace(), Pace()
    for _ in range(300):
        answered(quick, usual, 0.1, times=2)
        answered(slow, usual, 0.2, times=1)
    ratio = quick.relative_to(usual) / slow.relative_to(usual)
    assert ratio == pytest.approx(2.0, rel=0.01)
    assert slow.relative_to(usual) < 1.0 < quick.relative_to(usual)


def test_many_at_once_take_longer_and_no_replica_looks_slower_for_it() -> None:
    usual, alone, shared = Pace(), Pace(), Pace()
    answered(alone, usual, 0.1)
    answered(shared, usual, 0.8, at_work=8)
    assert shared.relative_to(usual) == pytest.approx(alone.relative_to(usual))


def test_too_few_answers_say_nothing() -> None:
    usual, fresh = Pace(), Pace()
    answered(Pace(), usual, 0.1)
    answered(fresh, usual, 9.0, times=ENOUGH - 1)
    assert fresh.relative_to(usual) == 1.0


def test_who_was_slow_once_and_is_given_nothing_since_is_thought_better_of() -> None:
    usual, once_slow, slow = Pace(), Pace(), Pace()
    answered(Pace(), usual, 0.1)
    for pace in (once_slow, slow):
        answered(pace, Pace(), 1.0)
    assert once_slow.relative_to(usual) == pytest.approx(0.1)
    for _ in range(200):
        once_slow.second_over(usual)
        answered(slow, Pace(), 1.0, times=1)
        slow.second_over(usual)
    assert once_slow.relative_to(usual) > 0.8
    assert slow.relative_to(usual) == pytest.approx(0.1), "who goes on answering is known by that"
