"""How often somebody may knock: token buckets, in memory, bounded."""

import math
from collections import OrderedDict
from collections.abc import Callable

from suanli.domain.errors import SuanliError

CALLERS_MAX = 10_000


class TooManyRequests(SuanliError):
    """Too many requests came from you in too short a time."""

    code = "SL-RATE"
    http_status = 429

    def __init__(self, wait_s: float) -> None:
        seconds = max(1, math.ceil(wait_s))
        super().__init__(remedy=f"Wait {seconds} s.", evidence={"retry_after_s": seconds})


class Buckets:
    """One bucket for each caller: `burst` at once, `per_s` in the long run. Not for several threads.

    Of more than 10,000 callers those heard of longest ago are forgotten, in their favour.
    """

    def __init__(self, per_s: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = burst
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one request. O(1). Raises TooManyRequests where the bucket is empty; that one is not counted."""
        now_s = self._monotonic()
        left, at_s = self._buckets.pop(caller, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        allowed = left >= 1.0
        self._buckets[caller] = (left - allowed, now_s)
        if len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests((1.0 - left) / self._per_s)
