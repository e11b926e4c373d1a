"""When wishes for more or fewer replicas are followed: in seconds, whatever the ticks, and without flapping."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.policies.autoscale.delays import Wish, Wishes

UP_S, DOWN_S = 5.0, 60.0


def follow(wanted: list[tuple[float, int]], replicas: int = 1) -> list[tuple[float, int]]:
    """(instant, count) of every change that the wishes lead to."""
    wishes, changes = Wishes(), []
    for now_s, count in wanted:
        wish = wishes.add(now_s, count, "", replicas=replicas, up_delay_s=UP_S, down_delay_s=DOWN_S)
        after = followed(wish, replicas)
        if after != replicas:
            changes.append((now_s, after))
        replicas = after
    return changes


def followed(wish: Wish, replicas: int) -> int:
    if wish.at_least is not None and wish.at_least > replicas:
        return wish.at_least
    return wish.at_most if wish.at_most is not None and wish.at_most < replicas else replicas


def step(tick_s: float) -> list[tuple[float, int]]:
    """1, from 100 s on 4, from 200 s on 2."""
    return [
        (i * tick_s, 1 if i * tick_s < 100 else 4 if i * tick_s < 200 else 2)
        for i in range(math.ceil(400 / tick_s))
    ]


@pytest.mark.parametrize("tick_s", [0.1, 0.25, 1.0, 3.0, 7.0, 30.0])
def test_a_step_is_followed_after_the_delays_at_any_tick(tick_s: float) -> None:
    (up_s, up), (down_s, down) = follow(step(tick_s))
    assert (up, down) == (4, 2)
    assert 100 + UP_S <= up_s <= 100 + UP_S + 2 * tick_s + 1
    assert 200 + DOWN_S <= down_s <= 200 + DOWN_S + 2 * tick_s + 1


def test_what_is_wanted_for_less_than_the_delay_changes_nothing() -> None:
    blip = [(t / 4, 8 if 100 <= t / 4 < 104 else 1) for t in range(1600)]
    assert follow(blip) == []


def test_until_a_whole_delay_has_been_seen_nothing_shrinks() -> None:
    changes = follow([(1000 + t / 4, 1) for t in range(800)], replicas=5)
    assert changes == [(1000 + DOWN_S, 1)]


def test_after_word_was_lost_a_whole_delay_must_be_seen_again() -> None:
    wishes = Wishes()
    for t in range(100):
        wishes.add(float(t), 2, "", replicas=2, up_delay_s=UP_S, down_delay_s=DOWN_S)
    wishes.forget()
    wish = wishes.add(130.0, 1, "", replicas=2, up_delay_s=UP_S, down_delay_s=DOWN_S)
    assert (wish.at_least, wish.at_most) == (None, None)
    for t in range(131, 131 + int(DOWN_S)):
        wish = wishes.add(float(t), 1, "", replicas=2, up_delay_s=UP_S, down_delay_s=DOWN_S)
    assert wish.at_most == 1


def test_replicas_that_a_user_asked_for_stay_for_a_whole_delay() -> None:
    wishes = Wishes()
    for t in range(100):
        wishes.add(float(t), 1, "", replicas=1, up_delay_s=UP_S, down_delay_s=DOWN_S)
    at_most = [
        wishes.add(float(t), 1, "", replicas=5, up_delay_s=UP_S, down_delay_s=DOWN_S).at_most
        for t in range(100, 170)
    ]
    assert at_most[: int(DOWN_S)] == [5] * int(DOWN_S)
    assert at_most[-1] == 1


@given(
    st.lists(st.tuples(st.integers(1, 10), st.floats(0.1, 90.0)), min_size=1, max_size=30),
    st.sampled_from([0.25, 1.0, 4.0, 15.0]),
    st.lists(st.integers(-2, 2), min_size=1, max_size=20),
)
def test_within_a_down_delay_the_direction_changes_at_most_once(
    levels: list[tuple[int, float]], tick_s: float, noise: list[int]
) -> None:
    wanted: list[tuple[float, int]] = []
    now_s = 0.0
    for level, length_s in levels:
        until_s = now_s + length_s
        while now_s < until_s:
            wanted.append((now_s, max(1, level + noise[len(wanted) % len(noise)])))
            now_s += tick_s
    changes = [(0.0, 1), *follow(wanted)]
    up = [(at_s, count > before) for (_, before), (at_s, count) in itertools.pairwise(changes)]
    for i, (began_s, _) in enumerate(up):
        within = [rises for at_s, rises in up[i:] if at_s < began_s + DOWN_S]
        assert sum(a != b for a, b in itertools.pairwise(within)) <= 1
