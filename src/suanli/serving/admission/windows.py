"""A limit by time, held exactly: no window of its length sees more than it allows, over all workers together.

Workers use leased parts of it. What they hold counts in full, as if it were used at any moment; what they used counts
until its slot has left the window. So `used + held <= limit` at every grant bounds every window, whatever workers do
and whenever they die, and nothing need be known of their clocks but that they share the machine's.
"""

import heapq
import math
from collections import deque

SLOTS = 200
"""A use is remembered to the two-hundredth of the window, and leaves it with the end of its slot."""

HELD_RETRY_S = 0.5
"""Where only what workers hold is in the way, nobody knows when it comes back: mostly so soon."""


def of_requests(per_s: float) -> tuple[int, float]:
    """A rate as whole requests in a window of a second or a little more (seconds): 2.5/s is 3 in 1.2 s."""
    count = math.ceil(per_s)
    return (count, count / per_s) if per_s > 0 else (0, 1.0)


def of_tokens(per_min: float) -> tuple[int, float]:
    return int(per_min), 60.0


class Window:
    """At most `limit` in any `window_s`. Amounts are whole numbers; instants are of a clock that all sides share."""

    __slots__ = ("_granted", "_slot_s", "_total", "_used", "held", "limit", "window_s")

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self.held = 0
        self._slot_s = window_s / SLOTS
        self._used: deque[list[int]] = deque()  # [slot, amount], oldest first
        self._granted: deque[list[int]] = deque()  # what is held, by the slot of its grant
        self._total = 0

    def free(self, now_s: float) -> int:
        """What can be granted now. Negative where more was used than reserved, or the limit was lowered."""
        gone = int(now_s / self._slot_s) - SLOTS - 1
        used = self._used
        while used and used[0][0] <= gone:
            self._total -= used.popleft()[1]
        return self.limit - self._total - self.held

    def hold(self, amount: int, now_s: float) -> None:
        self.held += amount
        self._granted.append([int(now_s / self._slot_s), amount])

    def settle(self, at_s: float, used: int, returned: int) -> None:
        """Of what was held so much was used, at the latest then, and so much was not."""
        self.held -= used + returned
        self._forget_granted(used + returned)
        if used:
            self._note(int(at_s / self._slot_s), used)

    def retry_s(self, need: int, now_s: float, *, held_is_used: bool) -> float:
        """In how many seconds `need` is free if nobody else asks; infinite where it never is. O(slots + grants held).

        What is held may have been used as soon as it was granted, or (not `held_is_used`) mostly comes back unused.
        """
        if need > self.limit:
            return math.inf
        short = need - self.free(now_s)
        for slot, amount in heapq.merge(self._used, self._granted) if held_is_used else self._used:
            if short <= 0:
                break
            short -= amount
            if short <= 0:
                return (slot + 1 + SLOTS) * self._slot_s - now_s
        return 0.0 if short <= 0 else min(self.window_s, HELD_RETRY_S)

    def is_idle(self, now_s: float) -> bool:
        """Nothing of it is held or remembered: a new one would be the same."""
        return self.free(now_s) == self.limit and self.held == 0

    def resized(self, limit: int, window_s: float) -> "Window":
        """The same with another limit: what is held and was used goes on counting."""
        other = Window(limit, window_s)
        other.held = self.held
        if self._granted:
            other._granted.append([int(self._granted[0][0] * self._slot_s / other._slot_s), self.held])
        for slot, amount in self._used:
            other._note(int((slot + 0.5) * self._slot_s / other._slot_s), amount)
        return other

    def _forget_granted(self, amount: int) -> None:
        """The oldest first: whose it was makes no difference to how much there is."""
        granted = self._granted
        while granted and granted[0][1] <= amount:
            amount -= granted.popleft()[1]
        if granted:
            granted[0][1] -= amount

    def _note(self, slot: int, amount: int) -> None:
        self._total += amount
        used = self._used
        later: list[list[int]] = []
        while used and used[-1][0] > slot:  # reports of several workers come a little out of order
            later.append(used.pop())
        if used and used[-1][0] == slot:
            used[-1][1] += amount
        else:
            used.append([slot, amount])
        while later:
            used.append(later.pop())
