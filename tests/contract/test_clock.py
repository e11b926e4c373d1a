"""What any Clock does, and what the real one must on top of it."""

import threading
import time
from collections.abc import Callable

import pytest

from suanli.control.clock import FastClock, SystemClock
from suanli.ports.clock import Clock, VirtualClock


def ten_times_as_fast() -> Clock:
    return FastClock(SystemClock(), speed=10.0, begins_s=1_000.0)


@pytest.fixture(params=[VirtualClock, SystemClock, ten_times_as_fast])
def clock(request: pytest.FixtureRequest) -> Clock:
    make: Callable[[], Clock] = request.param
    return make()


def test_a_wait_lasts_as_long_as_it_was_asked_to(clock: Clock):
    before_s = clock.now_s()
    clock.wait(0.05)
    assert clock.now_s() - before_s >= 0.05 - 1e-6


def test_the_clock_never_goes_back(clock: Clock):
    instants = []
    for _ in range(100):
        instants.append(clock.now_s())
        clock.wait(0.0)
    assert instants == sorted(instants)


def test_a_wake_ends_the_next_wait_at_once_and_only_that_one(clock: Clock):
    clock.wake()
    before_s = clock.now_s()
    clock.wait(6_000.0)
    assert clock.now_s() - before_s < 600.0  # a minute of the fastest
    before_s = clock.now_s()
    clock.wait(0.05)
    assert clock.now_s() - before_s >= 0.05 - 1e-6


def test_several_wakes_before_a_wait_count_as_one(clock: Clock):
    clock.wake()
    clock.wake()
    clock.wait(6_000.0)
    before_s = clock.now_s()
    clock.wait(0.05)
    assert clock.now_s() - before_s >= 0.05 - 1e-6


def test_a_negative_wait_returns_at_once():
    clock = SystemClock()
    before_s = time.monotonic()
    clock.wait(-600.0)
    assert time.monotonic() - before_s < 60.0


def test_a_wait_of_the_system_clock_is_ended_from_another_thread():
    clock = SystemClock()
    waiting = threading.Thread(target=clock.wait, args=(600.0,))
    waiting.start()
    clock.wake()
    waiting.join(timeout=60.0)
    assert not waiting.is_alive()


def test_the_system_clock_starts_at_the_wall_clock_and_ignores_its_jumps(monkeypatch: pytest.MonkeyPatch):
    clock = SystemClock()
    assert clock.now_s() == pytest.approx(time.time(), abs=60.0)
    wall_s = time.time()
    for jump_s in (300.0, -300.0):
        monkeypatch.setattr(time, "time", lambda jump_s=jump_s: wall_s + jump_s)
        assert clock.now_s() == pytest.approx(wall_s, abs=60.0)


def test_a_fast_clock_begins_where_it_is_told_and_runs_so_many_times_as_fast():
    slow = VirtualClock(50.0)
    clock = FastClock(slow, speed=600.0, begins_s=32_400.0)
    assert clock.now_s() == 32_400.0
    slow.advance(2.0)
    assert clock.now_s() == 33_600.0


def test_a_wait_of_a_fast_clock_takes_so_much_less_of_the_other():
    slow = VirtualClock()
    clock = FastClock(slow, speed=600.0, begins_s=0.0)
    clock.wait(1_800.0)
    assert slow.now_s() == 3.0
    clock.wake()
    clock.wait(1_800.0)
    assert slow.now_s() == 3.0
