"""The real clock, and one that runs faster than another."""

import threading
import time

from suanli.ports.clock import Clock


class SystemClock:
    """Seconds since the epoch as they were when it was made, plus what has passed since.

    So a jump of the wall clock (NTP, an operator, a restored VM) moves no deadline and expires no lease. Time asleep
    counts: others may have taken the lease meanwhile.
    """

    def __init__(self) -> None:
        self._epoch_at_boot_s = time.time() - _since_boot_s()
        self._woken = threading.Event()

    def now_s(self) -> float:
        return self._epoch_at_boot_s + _since_boot_s()

    def wait(self, seconds: float) -> None:
        self._woken.wait(max(0.0, seconds))
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()


class FastClock:
    """Begins at `begins_s` and from then on runs `speed` times as fast as `clock`, which does the waiting for it."""

    def __init__(self, clock: Clock, speed: float, begins_s: float) -> None:
        self._clock = clock
        self._speed = speed
        self._begins_s = begins_s
        self._made_s = clock.now_s()

    def now_s(self) -> float:
        return self._begins_s + self._speed * (self._clock.now_s() - self._made_s)

    def wait(self, seconds: float) -> None:
        self._clock.wait(seconds / self._speed)

    def wake(self) -> None:
        self._clock.wake()


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
