"""How fast wishes are followed: more soon, fewer only after nobody has wanted more for long. In seconds, not in ticks.

As Kubernetes' stabilisation windows: up to the lowest count wanted within the up delay, down to the highest within the
down delay. So within any down delay the direction changes at most once: after going up, what was wanted then holds for
a whole delay.
"""

import functools
from collections import deque
from collections.abc import Callable

import msgspec

PIECES = 100
"""A delay is seen in so many: what was wanted may so be followed a hundredth of it later."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas are wanted: `now`, with the reason; `at_least` so many all through the up delay, `at_most` so
    many ever within the down delay. None: not known for so long, so nothing follows."""

    now: int
    why: str
    at_least: int | None = None
    at_most: int | None = None


class Wishes:
    """What was wanted lately of one service. At first, and after `forget`, no delay has been seen yet."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is known any more."""
        self._fewest, self._most = _Extreme(min), _Extreme(max)
        self._replicas: int | None = None

    def add(
        self, now_s: float, wanted: int, why: str, *, replicas: int, up_delay_s: float, down_delay_s: float
    ) -> Wish:
        """Take in what is wanted now; `replicas` are there. Whoever else raised them wanted that many. O(PIECES)."""
        raised = self._replicas is not None and replicas > self._replicas
        self._replicas = replicas
        return Wish(
            now=wanted,
            why=why,
            at_least=self._fewest.add(now_s, wanted, up_delay_s),
            at_most=self._most.add(now_s, max(wanted, replicas) if raised else wanted, down_delay_s),
        )


class _Extreme:
    """The least or the most over a sliding stretch, in pieces of (first instant, extreme)."""

    def __init__(self, pick: Callable[[int, int], int]) -> None:
        self._pick = pick
        self._pieces: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, count: int, length_s: float) -> int | None:
        """With what was in force when the stretch began; None where that is not known."""
        pieces, since_s = self._pieces, now_s - length_s
        if pieces and now_s - pieces[-1][0] < length_s / PIECES:
            first_s, before = pieces.pop()
            pieces.append((first_s, self._pick(before, count)))
        else:
            pieces.append((now_s, count))
        while len(pieces) > 1 and pieces[1][0] <= since_s:
            pieces.popleft()
        if pieces[0][0] > since_s:
            return None
        return functools.reduce(self._pick, (extreme for _, extreme in pieces))
