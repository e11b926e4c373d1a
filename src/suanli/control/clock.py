"""The real clock."""

import threading
import time


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


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
