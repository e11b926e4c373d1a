"""What a service was asked lately and how it went, as `Demand` tells it: counts by second, with a bounded past."""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from suanli.domain.traffic import Counted, Demand, Window, bucket_of, quantile_s
from suanli.policies.autoscale.crowd import Crowd
from suanli.policies.autoscale.load import Load

KEPT_S = 900
"""How far back traffic is known, in seconds that are kept apart."""

DEMAND_S = 10.0
"""Over which arrivals are counted."""

RECENT_S, ANSWERS_ENOUGH = 60, 50
"""How long answers take is looked up in so many seconds, or where they were fewer in all that are known."""

Counts = NDArray[np.int64]
_C = TypeVar("_C", int, "Second")


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

    def of_who_came_within(self, length_s: float) -> "Second":
        """Without latencies and first bytes that took longer."""
        result = self._with(self, 0)
        result.histograms[:2, bucket_of(length_s) + 1 :] = 0
        return result

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
        self._began_s = began_s
        self._load = Load(began_s)
        self._revisions: dict[int, deque[tuple[float, Second]]] = {}
        self._arrived: deque[tuple[float, int]] = deque()
        self._asked_s: float | None = None
        self._crowd = Crowd(began_s)
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

    def is_over(self, now_s: float) -> bool:
        """Whether nothing came for so long that all has been forgotten."""
        return self._asked_s is None or self._asked_s < now_s - KEPT_S

    def demand(self, now_s: float, waiting: int, in_flight: int, ready: int, *, known: bool = True) -> Demand:
        """With what waits and is in flight now, and how many replicas may be asked."""
        arrivals = self._load.arrivals(now_s)
        rate_per_s = max((count / length_s for length_s, count in arrivals), default=0.0)
        self._crowd.look(now_s, waiting + in_flight, self._usual(rate_per_s), ready)
        self._load.sample(now_s, waiting, waiting + in_flight)
        queued, ongoing = self._load.ongoing()
        answers = self._answers(now_s, ready)
        return Demand(
            known=known,
            waiting=waiting,
            in_flight=in_flight,
            arrived=sum(count for at_s, count in self._arrived if at_s > now_s - DEMAND_S),
            length_s=DEMAND_S,
            idle_s=now_s - (self._began_s if self._asked_s is None else self._asked_s),
            arrivals=arrivals,
            dispersion=self._load.dispersion(),
            queued=queued,
            ongoing=ongoing,
            recent=answers.recent,
            calm=answers.calm,
            settled=answers.settled,
            crowded=self._crowd.is_here,
            crowd_each_per_s=self._crowd.each_per_s,
        )

    def _answers(self, now_s: float, ready: int) -> "_Known":
        """What was answered lately, and the newest revision's fastest minute. Looked up once a second, and anew where
        replicas became more or fewer or a crowd came or went."""
        at_s, former = float(int(now_s)), self._known
        looked = (at_s, ready, self._crowd.is_here)
        if former is not None and former.looked == looked:
            return former
        self._forget(at_s - KEPT_S)
        recent, revision = _recent(self._revisions.values(), at_s), max(self._revisions, default=0)
        own = recent if len(self._revisions) <= 1 else _recent([self._revisions[revision]], at_s)
        calm = former.calm if former is not None and former.revision == revision else Window()
        if _slow_end_s(own) < _slow_end_s(calm):
            calm = own
        settled = _window(
            [
                second.of_who_came_within(then_s + 1.0 - self._crowd.settled_s)
                for then_s, second in self._seconds(math.floor(self._crowd.settled_s), at_s)
            ]
        )
        crowd_s = max(self._crowd.whole_second_s(), at_s - DEMAND_S)
        if at_s > crowd_s:
            done = sum(second.requests for _, second in self._seconds(crowd_s, at_s))
            self._crowd.managed(done / (at_s - crowd_s))
        self._known = _Known(looked, revision, recent, calm, settled)
        return self._known

    def _forget(self, before_s: float) -> None:
        for number, history in list(self._revisions.items()):
            while history and history[0][0] < before_s:
                history.popleft()
            if not history:
                del self._revisions[number]

    def _usual(self, per_s: float) -> float | None:
        """How many requests would go on at that rate if answers took as long as in calm times."""
        mean_s = self._known.calm.served_mean_s if self._known is not None else None
        return None if mean_s is None else per_s * mean_s

    def _seconds(self, from_s: float, to_s: float) -> list[tuple[float, "Second"]]:
        """What was answered in the whole seconds between, by any revision, at most `RECENT_S` ago."""
        from_s = max(from_s, to_s - RECENT_S)
        return [
            entry
            for history in self._revisions.values()
            for entry in itertools.takewhile(lambda entry: entry[0] >= from_s, reversed(history))
            if entry[0] < to_s
        ]


class _Known(NamedTuple):
    """`looked` up at which second, with how many replicas, in a crowd or not; `calm` is of that revision."""

    looked: tuple[float, int, bool]
    revision: int
    recent: Window
    calm: Window
    settled: Window


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
