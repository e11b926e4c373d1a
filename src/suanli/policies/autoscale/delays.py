"""How fast wishes are followed: more soon, fewer only after nobody has wanted more for long. In seconds, not in ticks.

As Kubernetes' stabilisation windows: up to the lowest count wanted within the up delay, down to the highest within the
down delay. So within any down delay the direction changes at most once: after going up, what was wanted then holds for
a whole delay.
"""

from collections import deque

import msgspec


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas are wanted: `now`, with the reason; `at_least` so many all through the up delay, `at_most` so
    many ever within the down delay. None: not known for so long, so nothing follows."""

    now: int
    why: str
    at_least: int | None = None
    at_most: int | None = None


class Wishes:
    """What was wanted lately of one service. Starts empty, and after `forget`: then a whole delay must be seen first.

    Counts of the same second are kept as their lowest and highest, so at most two delays' seconds are held.
    """

    def __init__(self) -> None:
        self._seconds: deque[tuple[float, float, int, int]] = (
            deque()
        )  # first and last instant, lowest, highest
        self._replicas: int | None = None

    def forget(self) -> None:
        """Nothing is known any more."""
        self._seconds.clear()
        self._replicas = None

    def add(
        self, now_s: float, wanted: int, why: str, *, replicas: int, up_delay_s: float, down_delay_s: float
    ) -> Wish:
        """Take in what is wanted now; `replicas` are there. Whoever else raised them wanted that many. O(seconds)."""
        raised = self._replicas is not None and replicas > self._replicas
        self._replicas = replicas
        self._note(now_s, wanted, max(wanted, replicas) if raised else wanted)
        self._drop(now_s - max(up_delay_s, down_delay_s))
        lows = [low for _, low, _ in self._within(now_s - up_delay_s)]
        highs = [high for _, _, high in self._within(now_s - down_delay_s)]
        return Wish(
            now=wanted,
            why=why,
            at_least=min(lows) if self._covers(now_s - up_delay_s) else None,
            at_most=max(highs) if self._covers(now_s - down_delay_s) else None,
        )

    def _note(self, now_s: float, low: int, high: int) -> None:
        if self._seconds and int(self._seconds[-1][0]) == int(now_s):
            first_s, _, lowest, highest = self._seconds.pop()
            self._seconds.append((first_s, now_s, min(low, lowest), max(high, highest)))
        else:
            self._seconds.append((now_s, now_s, low, high))

    def _covers(self, since_s: float) -> bool:
        return self._seconds[0][0] <= since_s

    def _within(self, since_s: float) -> list[tuple[float, int, int]]:
        """With the one that was in force when the stretch began."""
        seconds = list(self._seconds)
        began = next((i for i, each in enumerate(seconds) if each[1] > since_s), len(seconds))
        return [(last_s, low, high) for _, last_s, low, high in seconds[max(0, began - 1) :]]

    def _drop(self, before_s: float) -> None:
        while len(self._seconds) > 1 and self._seconds[1][0] <= before_s:
            self._seconds.popleft()
