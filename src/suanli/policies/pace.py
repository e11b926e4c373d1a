"""How fast each replica of a service is, as its answers show: unlike accelerators get unlike shares of the requests."""

WEIGHT = 0.02
"""What one answer counts for, once there have been many."""

ENOUGH = 3
"""With fewer answers a replica is taken for an average one: its first may have had to warm it up."""

FORGOTTEN = 0.02
"""So much nearer to the average comes, in each second, what a replica is held for that answers nothing: whoever was
slow once, and is given nothing since, would never be seen to be fast."""


class Mean:
    """`each_s`: a moving mean of how long a replica works for one answer."""

    __slots__ = ("answers", "each_s")

    def __init__(self) -> None:
        self.answers = 0
        self.each_s = 0.0

    def add(self, seconds: float) -> None:
        self.answers += 1
        self.each_s += max(1.0 / self.answers, WEIGHT) * (seconds - self.each_s)


class Pace:
    """Of one replica, beside the `usual` one of its service: how much of the time in which it has something to do goes
    by for each answer. So it matters neither how many are at work at a time nor how long they waited there."""

    __slots__ = ("_fresh", "_own", "_since_s", "_usual")

    def __init__(self, usual: Mean) -> None:
        self._own = Mean()
        self._usual = usual
        self._since_s = 0.0
        self._fresh = False

    @property
    def speed(self) -> float:
        """The average replica has 1."""
        known = self._own.answers >= ENOUGH and self._own.each_s > 0.0
        return self._usual.each_s / self._own.each_s if known else 1.0

    def begins(self, now_s: float) -> None:
        """It gets a request, and has no other."""
        self._since_s = now_s

    def answered(self, now_s: float) -> None:
        for mean in (self._own, self._usual):
            mean.add(now_s - self._since_s)
        self._since_s = now_s
        self._fresh = True

    def second_over(self) -> None:
        own = self._own
        if not self._fresh and own.answers >= ENOUGH:
            own.each_s += FORGOTTEN * (self._usual.each_s - own.each_s)
        self._fresh = False
