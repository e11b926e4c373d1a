"""How fast each replica of a service is, as its answers show: unlike accelerators get unlike shares of the requests."""

WEIGHT = 0.02
"""What one answer counts for, once there have been many."""

ENOUGH = 3
"""With fewer answers a replica is taken for an average one: its first may have had to warm it up."""

FORGOTTEN = 0.02
"""So much nearer to the average comes, in each second, what a replica is held for that answers nothing: whoever was
slow once, and is given nothing since, would never be seen to be fast."""


class Pace:
    """`each_s` is a moving mean of how long a request takes, for each of those that are at work beside it."""

    __slots__ = ("answers", "each_s", "fresh")

    def __init__(self) -> None:
        self.answers = 0
        self.each_s = 0.0
        self.fresh = False

    def timed(self, seconds: float, at_work: int) -> None:
        """An answer took so long, sent when `at_work` requests were there, itself among them."""
        self.answers += 1
        self.fresh = True
        self.each_s += max(1.0 / self.answers, WEIGHT) * (seconds / at_work - self.each_s)

    def relative_to(self, usual: "Pace") -> float:
        """The speed, where `usual`, of all replicas, has speed 1."""
        return usual.each_s / self.each_s if self.answers >= ENOUGH and self.each_s > 0.0 else 1.0

    def second_over(self, usual: "Pace") -> None:
        if not self.fresh and self.answers >= ENOUGH:
            self.each_s += FORGOTTEN * (usual.each_s - self.each_s)
        self.fresh = False
