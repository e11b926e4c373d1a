"""What a service was asked lately and how it went, as `Demand` tells it: counts by second, with a bounded past."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from suanli.domain.traffic import Demand, Window, quantile_s
from suanli.policies.autoscale.load import Load

KEPT_S = 900
"""How far back traffic is known, in seconds that are kept apart."""

DEMAND_S = 10.0
"""Over which arrivals are counted."""

RECENT_S, ANSWERS_ENOUGH = 60, 50
"""How long answers take is looked up in so many seconds, or where they were fewer in all that are known."""

Counts = NDArray[np.int64]
_C = TypeVar("_C", int, "Second")


class Counted(Protocol):
    """Counts of answers; histograms int[BUCKETS]."""

    requests: int
    failed: int
    seconds: float
    served_seconds: float
    latency: list[int]
    first_byte: list[int]
    per_token: list[int]
    served: list[int]


class Second:
    """Counts that can be added and subtracted: requests, failed, seconds; histograms int[4, BUCKETS]."""

    __slots__ = ("failed", "histograms", "requests", "seconds", "served_s")

    def __init__(self, counted: Counted) -> None:
        self.requests, self.failed, self.seconds = counted.requests, counted.failed, counted.seconds
        self.served_s = counted.served_seconds
        self.histograms: Counts = np.array(
            [counted.latency, counted.first_byte, counted.per_token, counted.served], dtype=np.int64
        )

    def __sub__(self, other: "Second") -> "Second":
        return self._with(other, -1)

    def __add__(self, other: "Second") -> "Second":
        return self._with(other, 1)

    def _with(self, other: "Second", sign: int) -> "Second":
        result = Second.__new__(Second)
        result.requests = self.requests + sign * other.requests
        result.failed = self.failed + sign * other.failed
        result.seconds = self.seconds + sign * other.seconds
        result.served_s = self.served_s + sign * other.served_s
        result.histograms = self.histograms + sign * other.histograms
        return result


class Lately:
    """Of one service; `began_s` is when anything was first known."""

    def __init__(self, began_s: float) -> None:
        self._load = Load(began_s)
        self._revisions: dict[int, deque[tuple[float, Second]]] = {}
        self._arrived: deque[tuple[float, int]] = deque()
        self._asked_s: float | None = None
        self._known: _Known | None = None

    def arrived(self, source: int, from_s: float, to_s: float, count: int, now_s: float) -> None:
        """What came to one source (a gateway's worker) in that time, as is heard now. O(1)."""
        self._load.arrived(source, from_s, to_s, count)
        if count:
            self._asked_s = now_s
            _append(self._arrived, now_s, count)

    def answered(self, revision: int, second: Second, now_s: float) -> None:
        """What that revision answered since it was last told of. O(1)."""
        if second.requests:
            _append(self._revisions.setdefault(revision, deque()), now_s, second)

    def windows(self, since_s: float) -> Mapping[int, Window]:
        """By revision what was answered after `since_s`."""
        return {
            number: _window([second for at_s, second in history if at_s > since_s])
            for number, history in self._revisions.items()
        }

    def demand(self, now_s: float, waiting: int, in_flight: int, *, known: bool = True) -> Demand:
        """With what waits and is in flight now."""
        self._load.sample(now_s, waiting, waiting + in_flight)
        queued, ongoing = self._load.ongoing()
        recent, calm = self._answers(now_s)
        return Demand(
            known=known,
            waiting=waiting,
            in_flight=in_flight,
            arrived=sum(count for at_s, count in self._arrived if at_s > now_s - DEMAND_S),
            length_s=DEMAND_S,
            idle_s=None if self._asked_s is None else now_s - self._asked_s,
            arrivals=self._load.arrivals(now_s),
            dispersion=self._load.dispersion(),
            queued=queued,
            ongoing=ongoing,
            recent=recent,
            calm=calm,
        )

    def _answers(self, now_s: float) -> tuple[Window, Window]:
        """What was answered lately, and the newest revision's fastest minute. Looked up once a second."""
        at_s, former = float(int(now_s)), self._known
        if former is not None and former.at_s == at_s:
            return former.recent, former.calm
        recent, revision = _recent(self._revisions.values(), at_s), max(self._revisions, default=0)
        own = recent if len(self._revisions) <= 1 else _recent([self._revisions[revision]], at_s)
        calm = former.calm if former is not None and former.revision == revision else Window()
        if _slow_end_s(own) < _slow_end_s(calm):
            calm = own
        self._known = _Known(at_s, revision, recent, calm)
        return recent, calm


class _Known(NamedTuple):
    """Looked up at `at_s`; `calm` is of that revision."""

    at_s: float
    revision: int
    recent: Window
    calm: Window


def _append(history: deque[tuple[float, _C]], now_s: float, value: _C) -> None:
    """A value of the same second is added to it; what is too old goes."""
    second_s = float(int(now_s))
    if history and history[-1][0] == second_s:
        value = history.pop()[1] + value
    history.append((second_s, value))
    while history[0][0] < second_s - KEPT_S:
        history.popleft()


def _recent(histories: Iterable[Iterable[tuple[float, Second]]], at_s: float) -> Window:
    told = [entry for history in histories for entry in history]
    recent = _window([second for then_s, second in told if then_s > at_s - RECENT_S])
    return recent if recent.requests >= ANSWERS_ENOUGH else _window([second for _, second in told])


def _window(seconds: Sequence[Second]) -> Window:
    if not seconds:
        return Window()
    total = seconds[0]
    for second in seconds[1:]:
        total = total + second
    latency, first_byte, per_token, served = (tuple(row) for row in total.histograms.tolist())
    return Window(
        length_s=float(len(seconds)),
        requests=total.requests,
        failed=total.failed,
        seconds=total.seconds,
        latency=latency,
        first_byte=first_byte,
        per_token=per_token,
        served=served,
        served_s=total.served_s,
    )


def _slow_end_s(window: Window) -> float:
    """How long answers take at the slow end; endless where too few were timed."""
    slow_s = quantile_s(window.latency, 0.95) if sum(window.latency) >= ANSWERS_ENOUGH else None
    return math.inf if slow_s is None else slow_s
