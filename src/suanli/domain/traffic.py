"""What was seen of a service's requests in a stretch of time."""

import math

import msgspec

BUCKETS = 96
FIRST_S, GROWTH = 0.0005, 1.15
"""Latencies are counted in buckets that grow by 15 %, from half a millisecond to over 5 minutes."""


def bucket_of(seconds: float) -> int:
    """The bucket that counts it: the first whose upper bound is no less."""
    if seconds <= FIRST_S:
        return 0
    return min(BUCKETS - 1, math.ceil(math.log(seconds / FIRST_S) / math.log(GROWTH)))


def upper_s(bucket: int) -> float:
    """The longest latency that the bucket counts."""
    return FIRST_S * GROWTH**bucket


Histogram = tuple[int, ...]
"""Answers by bucket, int[BUCKETS], or empty where none was counted."""


def count_above(histogram: Histogram, limit_s: float) -> int:
    """Answers that surely took longer than `limit_s`: those of the bucket in which it lies are given the benefit."""
    return sum(histogram[bucket_of(limit_s) + 1 :])


def quantile_s(histogram: Histogram, quantile: float) -> float | None:
    """The upper bound of the bucket in which that quantile lies, None without answers. O(BUCKETS)."""
    total, seen = sum(histogram), 0
    for bucket, count in enumerate(histogram):
        seen += count
        if count and seen >= quantile * total:
            return upper_s(bucket)
    return None


def _zeros() -> list[int]:
    return [0] * BUCKETS


class Counted(msgspec.Struct, kw_only=True):
    """What was answered by one revision of a service, as counts that grow. `failed` are 5xx answers and broken ones,
    the gateway's own refusals not among them; `retried` were sent again. Seconds are summed over all answered.

    Histograms count answers by whole latency, by time to the first byte, by time per further token, and by time since
    they were sent to a replica (`served`, `served_seconds` in all).
    """

    requests: int = 0
    failed: int = 0
    retried: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    latency: list[int] = msgspec.field(default_factory=_zeros)
    first_byte: list[int] = msgspec.field(default_factory=_zeros)
    per_token: list[int] = msgspec.field(default_factory=_zeros)
    served: list[int] = msgspec.field(default_factory=_zeros)
    served_seconds: float = 0.0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Of one revision of a service, for `length_s`. `failed` are answers that failed, the gateway's refusals left out.

    Histograms count whole latencies, times to the first byte, times per further token, and times with a replica
    (`served`, `served_s` in all): latencies less what was waited for one.
    """

    length_s: float = 0.0
    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    latency: Histogram = ()
    first_byte: Histogram = ()
    per_token: Histogram = ()
    served: Histogram = ()
    served_s: float = 0.0

    @property
    def served_mean_s(self) -> float | None:
        """Of a request's time with a replica; None where none was timed."""
        timed = sum(self.served)
        return self.served_s / timed if timed else None


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """Of a service as a whole: what `waits` for a replica now, what is `in_flight`, `arrived` in `length_s`.

    `idle_s` is how long ago the last request came, or anything was first known; None where nothing is. `known` is false
    while no gateway says anything: then nothing follows from all this.

    `arrivals` are (length_s, count) of stretches that end now, the shortest first; `dispersion` is the variance of
    counts over their mean, 1 for a Poisson process. `queued` waited lately and `ongoing` waited or were answered, on
    average. `recent` is what was answered lately, `calm` the fastest minute known. `settled` is how long those waited
    lately who came when there were as many replicas as now and no crowd. While there is a crowd, a replica answers
    `crowd_each_per_s`, None where that is not known yet. `expected_per_s` is a forecast.
    """

    known: bool = False
    waiting: int = 0
    in_flight: int = 0
    arrived: int = 0
    length_s: float = 0.0
    idle_s: float | None = None
    arrivals: tuple[tuple[float, int], ...] = ()
    dispersion: float = 1.0
    queued: float = 0.0
    ongoing: float = 0.0
    recent: Window = Window()
    calm: Window = Window()
    settled: Window = Window()
    crowded: bool = False
    crowd_each_per_s: float | None = None
    expected_per_s: float | None = None
