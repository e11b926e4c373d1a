"""How many servers keep a percentile of response times: the M/G/c queue, two-moment approximation.

The chance to wait is Erlang's C (A. K. Erlang, 1917), by the recursion of his B. Whoever waits does so for an
exponential time whose mean is that of M/M/c times (Ca² + Cs²) / 2 (A. O. Allen, *Probability, Statistics and Queueing
Theory*, 1978, after Allen and Cunneen). A response is that wait and then a service time as measured.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.traffic import BUCKETS, GROWTH, Histogram, upper_s

BUSY_MAX = 0.95
"""Servers are never planned to be busy for more of the time: the approximation is too hopeful there."""

SERVERS_MAX = 1_000_000

_MIDDLES: NDArray[np.float64] = np.array([upper_s(b) for b in range(BUCKETS)]) / math.sqrt(GROWTH)


class Times(msgspec.Struct, frozen=True, eq=False):
    """A distribution of times: `seconds` float[n] that occur with `weights` float[n], which sum to 1."""

    seconds: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def mean_s(self) -> float:
        return float(self.seconds @ self.weights)

    @property
    def scv(self) -> float:
        """Squared coefficient of variation: variance by squared mean."""
        return float((self.seconds - self.mean_s) ** 2 @ self.weights) / self.mean_s**2

    def above(self, limit_s: float) -> float:
        """The share that takes longer."""
        return float(self.weights[self.seconds > limit_s].sum())


def times_of(histogram: Histogram, total_s: float | None = None) -> Times | None:
    """What a histogram says; buckets' middles are scaled to `total_s`, their exact sum. None if it is empty."""
    counts = np.array(histogram, dtype=np.float64)
    answers = float(counts.sum())
    if not answers:
        return None
    used = np.flatnonzero(counts)
    seconds, weights = _MIDDLES[used], counts[used] / answers
    if total_s:
        seconds = seconds * (total_s / answers / float(seconds @ weights))
    return Times(seconds, weights)


class Stream(msgspec.Struct, frozen=True):
    """Arrivals: how many a second, and the squared coefficient of variation of the time between them."""

    per_s: float
    scv: float = 1.0


def fewest_servers(
    arrivals: Stream,
    service: Times,
    limit_s: float,
    *,
    answer: Times | None = None,
    late_max: float = 0.05,
    at_a_time: int = 1,
) -> int | None:
    """The fewest servers, in multiples of `at_a_time`, with which at most `late_max` of responses take longer than
    `limit_s`; None where no number does, as serving alone takes too long. A response is there `answer` after serving
    began, by default at its end. O(servers · buckets / at_a_time)."""
    answer = answer or service
    if answer.above(limit_s) > late_max:
        return None
    offered = arrivals.per_s * service.mean_s
    blocked, servers = 1.0, 0  # Erlang's B
    while servers < SERVERS_MAX:
        for _ in range(at_a_time):
            servers += 1
            blocked = offered * blocked / (servers + offered * blocked)
        if offered > BUSY_MAX * servers:
            continue
        wait_chance = blocked / (1.0 - offered / servers * (1.0 - blocked))
        drain_per_s = (servers - offered) / service.mean_s
        if _late_share(wait_chance, drain_per_s / _spread(arrivals, service), answer, limit_s) <= late_max:
            return servers
    return SERVERS_MAX


def _spread(arrivals: Stream, service: Times) -> float:
    return max((arrivals.scv + service.scv) / 2.0, 1e-6)


def _late_share(wait_chance: float, drain_per_s: float, answer: Times, limit_s: float) -> float:
    """The share of responses later than `limit_s`, where waits that there are have a mean of 1 / drain_per_s."""
    left_s = limit_s - answer.seconds
    late = np.where(left_s < 0.0, 1.0, wait_chance * np.exp(-drain_per_s * np.maximum(left_s, 0.0)))
    return float(late @ answer.weights)
