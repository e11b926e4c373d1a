"""Time as the controller knows it."""

from typing import Protocol


class Clock(Protocol):
    def now_s(self) -> float:
        """Seconds since the epoch; never goes back within one process."""
        ...

    def wait(self, seconds: float) -> None:
        """Return after that long, or earlier when woken."""
        ...

    def wake(self) -> None:
        """End a wait that is going on, or else the next one, from any thread."""
        ...


class VirtualClock:
    """A clock that moves only when told to, or by waiting."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s
        self._woken = False

    def now_s(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds

    def wait(self, seconds: float) -> None:
        if not self._woken:
            self.advance(seconds)
        self._woken = False

    def wake(self) -> None:
        self._woken = True
