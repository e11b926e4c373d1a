"""Whether replicas are asked more than they manage: what they do meanwhile shows how much that is."""

import math

CROWDED = 3.0
"""A crowd is so many times what would go on if answers took as long as in calm times, and so many a replica; it is over
when there is half of that."""


class Crowd:
    """Of one service. Who came after `settled_s` found as many replicas as there are now, and no crowd."""

    def __init__(self, began_s: float) -> None:
        self.settled_s = began_s
        self.each_per_s: float | None = None
        self._since_s: float | None = None
        self._ready = 0

    @property
    def is_here(self) -> bool:
        return self._since_s is not None

    def look(self, now_s: float, ongoing: int, usual: float | None, ready: int) -> None:
        """`ongoing` requests wait or are answered by `ready` replicas; in calm times there would be `usual`, None where
        that is not known. To be asked often, as it notes when a crowd begins and ends."""
        times = CROWDED / 2.0 if self.is_here else CROWDED
        crowded = usual is not None and ongoing > times * max(usual, ready)
        changed = ready != self._ready
        if not crowded:
            self._since_s = self.each_per_s = None
        elif changed or self._since_s is None:
            self._since_s = now_s
        if crowded or changed:
            self.settled_s = now_s
        self._ready = ready

    def whole_second_s(self) -> float:
        """The first second that is wholly one of this crowd before as many replicas as now; endless without a crowd."""
        return math.inf if self._since_s is None else math.ceil(self._since_s)

    def managed(self, per_s: float) -> None:
        """So much was answered in a second. The most of a crowd counts: what was given to one replica before others
        came is not theirs to help with."""
        if self.is_here and self._ready:
            self.each_per_s = max(self.each_per_s or 0.0, per_s / self._ready)
