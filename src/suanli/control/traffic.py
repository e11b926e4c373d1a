"""What gateways' workers say, as traffic by second: counts that only grow become what came since."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from suanli.domain.traffic import Demand, Window, quantile_s
from suanli.policies.autoscale.load import Load
from suanli.serving.gateway.stats import ServiceStats, WorkerStats
from suanli.serving.gateway.stats import Traffic as Counted

KEPT_S = 900
"""How far back traffic is known, in seconds that are kept apart."""

DEMAND_S = 10.0
"""Over which arrivals are counted."""

RECENT_S, ANSWERS_ENOUGH = 60, 50
"""How long answers take is looked up in so many seconds, or where they were fewer in all that are known."""

Counts = NDArray[np.int64]
_C = TypeVar("_C", int, "_Second")


class Traffic:
    """A bounded history by service and revision. What a worker had counted before it was first seen is left out."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], WorkerStats] = {}
        self._revisions: dict[tuple[str, int], deque[tuple[float, _Second]]] = {}
        self._arrived: dict[str, deque[tuple[float, int]]] = {}
        self._loads: dict[str, Load] = {}
        self._answers: dict[str, _Answers] = {}
        self._asked_s: dict[str, float] = {}
        self._began_s: float | None = None

    def take(self, workers: Sequence[WorkerStats], now_s: float) -> None:
        """Count what is new since the last time. O(services · revisions · workers)."""
        if self._began_s is None:
            self._began_s = now_s
        for worker in workers:
            key = (worker.pid, worker.started_s)
            before = self._seen.get(key)
            fresh = before is None and worker.started_s >= self._began_s
            if before is not None or fresh:
                for name, stats in worker.services.items():
                    former = before.services.get(name) if before else None
                    self._count(name, stats, former, now_s)
                    load = self._loads.setdefault(name, Load(self._began_s))
                    arrived = stats.arrived - (former.arrived if former else 0)
                    load.arrived(
                        worker.pid, before.at_s if before else worker.started_s, worker.at_s, arrived
                    )
        self._seen = {(worker.pid, worker.started_s): worker for worker in workers}

    def windows(self, service: str, since_s: float) -> Mapping[int, Window]:
        """By revision what was answered after `since_s`."""
        return {
            number: _window([second for at_s, second in history if at_s > since_s])
            for (name, number), history in self._revisions.items()
            if name == service
        }

    def demand(self, service: str, workers: Sequence[WorkerStats], now_s: float) -> Demand:
        """What waits and is in flight now, what has come lately, and how long it took."""
        found = [stats for worker in workers if (stats := worker.services.get(service)) is not None]
        lately = [count for at_s, count in self._arrived.get(service, ()) if at_s > now_s - DEMAND_S]
        asked_s = self._asked_s.get(service)
        waiting = sum(stats.waiting for stats in found)
        in_flight = sum(stats.in_flight for stats in found)
        load = self._loads.get(service) or Load(now_s)
        load.sample(now_s, waiting, waiting + in_flight)
        queued, ongoing = load.ongoing()
        recent, calm = self._answered(service, now_s)
        return Demand(
            known=bool(workers),
            waiting=waiting,
            in_flight=in_flight,
            arrived=sum(lately),
            length_s=DEMAND_S,
            idle_s=None if asked_s is None else now_s - asked_s,
            arrivals=load.arrivals(now_s),
            dispersion=load.dispersion(),
            queued=queued,
            ongoing=ongoing,
            recent=recent,
            calm=calm,
        )

    def _answered(self, service: str, now_s: float) -> tuple[Window, Window]:
        """What was answered lately, of whatever revision, and the fastest minute known. Looked up once a second."""
        at_s, former = float(int(now_s)), self._answers.get(service)
        if former is not None and former.at_s == at_s:
            return former.recent, former.calm
        numbers = [number for name, number in self._revisions if name == service]
        known = [entry for number in numbers for entry in self._revisions[service, number]]
        recent = _window([second for then_s, second in known if then_s > at_s - RECENT_S])
        if recent.requests < ANSWERS_ENOUGH:
            recent = _window([second for _, second in known])
        revision = max(numbers, default=0)
        calm = former.calm if former is not None and former.revision == revision else Window()
        if _slow_end_s(recent) < _slow_end_s(calm):
            calm = recent
        self._answers[service] = _Answers(at_s, revision, recent, calm)
        return recent, calm

    def _count(self, name: str, stats: ServiceStats, before: ServiceStats | None, now_s: float) -> None:
        arrived = stats.arrived - (before.arrived if before else 0)
        if arrived:
            self._asked_s[name] = now_s
            _append(self._arrived.setdefault(name, deque()), now_s, arrived)
        for revision, counted in stats.by_revision.items():
            former = before.by_revision.get(revision) if before else None
            second = _Second(counted) - _Second(former or Counted())
            if second.requests:
                _append(self._revisions.setdefault((name, int(revision)), deque()), now_s, second)


class _Answers(NamedTuple):
    """Looked up at `at_s`; `calm` is of no revision older than that one."""

    at_s: float
    revision: int
    recent: Window
    calm: Window


class _Second:
    """Counts that can be added and subtracted: requests, failed, seconds; histograms int[4, BUCKETS]."""

    __slots__ = ("failed", "histograms", "requests", "seconds", "served_s")

    def __init__(self, counted: Counted) -> None:
        self.requests, self.failed, self.seconds = counted.requests, counted.failed, counted.seconds
        self.served_s = counted.served_seconds
        self.histograms: Counts = np.array(
            [counted.latency, counted.first_byte, counted.per_token, counted.served]
        )

    def __sub__(self, other: "_Second") -> "_Second":
        return self._with(other, -1)

    def __add__(self, other: "_Second") -> "_Second":
        return self._with(other, 1)

    def _with(self, other: "_Second", sign: int) -> "_Second":
        result = _Second.__new__(_Second)
        result.requests = self.requests + sign * other.requests
        result.failed = self.failed + sign * other.failed
        result.seconds = self.seconds + sign * other.seconds
        result.served_s = self.served_s + sign * other.served_s
        result.histograms = self.histograms + sign * other.histograms
        return result


def _append(history: deque[tuple[float, _C]], now_s: float, value: _C) -> None:
    """A value of the same second is added to it; what is too old goes."""
    second_s = float(int(now_s))
    if history and history[-1][0] == second_s:
        value = history.pop()[1] + value
    history.append((second_s, value))
    while history[0][0] < second_s - KEPT_S:
        history.popleft()


def _window(seconds: Sequence[_Second]) -> Window:
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
