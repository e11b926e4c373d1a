"""When a replica that fails is left out, and for how long: a value and its transitions, without a clock."""

UNREACHED = 3
"""So many connections in a row that fail or break: nobody is there."""
FAULTY = 5
"""So many answers in a row that are the replica's failure, or never come. More, as one request may fail anywhere."""
FIRST_S, LONGEST_S = 1.0, 30.0


class Breaker:
    """Closed while `failures` in a row are fewer than `failures_max`. Then open for a second, twice as long after each
    probe that fails. Once that time is over, one request goes as the probe, and no other until it is known how it went.
    """

    __slots__ = ("failures", "failures_max", "open_s", "open_until_s", "probing")

    def __init__(self, failures_max: int) -> None:
        self.failures_max = failures_max
        self.failures = 0
        self.open_s = 0.0
        self.open_until_s = 0.0
        self.probing = False

    def passes(self, now_s: float) -> bool:
        """May the next request go there?"""
        return self.failures < self.failures_max or (not self.probing and now_s >= self.open_until_s)

    def began(self) -> None:
        """A request goes there."""
        if self.failures >= self.failures_max:
            self.probing = True

    def succeeded(self) -> None:
        self.failures = 0
        self.open_s = 0.0
        self.probing = False

    def failed(self, now_s: float) -> None:
        """Requests that were under way when it opened, and fail now, don't make it stay open longer."""
        self.failures += 1
        if self.failures == self.failures_max or self.probing:
            self.open_s = min(LONGEST_S, max(FIRST_S, 2 * self.open_s))
            self.open_until_s = now_s + self.open_s
        self.probing = False

    def gave_up(self) -> None:
        """The request ended without saying anything about the replica, as its client went away."""
        self.probing = False
