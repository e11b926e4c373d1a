"""What gateways' workers say, as traffic by second: counts that only grow become what came since."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from suanli.domain.traffic import Demand, Window
from suanli.serving.gateway.stats import ServiceStats, WorkerStats
from suanli.serving.gateway.stats import Traffic as Counted

KEPT_S = 900
"""How far back traffic is known, in seconds that are kept apart."""

DEMAND_S = 10.0
"""Over which arrivals are counted."""

Counts = NDArray[np.int64]
_C = TypeVar("_C", int, "_Second")


class Traffic:
    """A bounded history by service and revision. What a worker had counted before it was first seen is left out."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], WorkerStats] = {}
        self._revisions: dict[tuple[str, int], deque[tuple[float, _Second]]] = {}
        self._arrived: dict[str, deque[tuple[float, int]]] = {}
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
                    self._count(name, stats, before.services.get(name) if before else None, now_s)
        self._seen = {(worker.pid, worker.started_s): worker for worker in workers}

    def windows(self, service: str, since_s: float) -> Mapping[int, Window]:
        """By revision what was answered after `since_s`."""
        return {
            number: _window([second for at_s, second in history if at_s > since_s])
            for (name, number), history in self._revisions.items()
            if name == service
        }

    def demand(self, service: str, workers: Sequence[WorkerStats], now_s: float) -> Demand:
        """What waits and is in flight now, and what has come lately."""
        found = [stats for worker in workers if (stats := worker.services.get(service)) is not None]
        recent = [count for at_s, count in self._arrived.get(service, ()) if at_s > now_s - DEMAND_S]
        asked_s = self._asked_s.get(service)
        return Demand(
            known=bool(workers),
            waiting=sum(stats.waiting for stats in found),
            in_flight=sum(stats.in_flight for stats in found),
            arrived=sum(recent),
            length_s=DEMAND_S,
            idle_s=None if asked_s is None else now_s - asked_s,
        )

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


class _Second:
    """Counts that can be added and subtracted: requests, failed, seconds; histograms int[3, BUCKETS]."""

    __slots__ = ("failed", "histograms", "requests", "seconds")

    def __init__(self, counted: Counted) -> None:
        self.requests, self.failed, self.seconds = counted.requests, counted.failed, counted.seconds
        self.histograms: Counts = np.array([counted.latency, counted.first_byte, counted.per_token])

    def __sub__(self, other: "_Second") -> "_Second":
        return self._with(other, -1)

    def __add__(self, other: "_Second") -> "_Second":
        return self._with(other, 1)

    def _with(self, other: "_Second", sign: int) -> "_Second":
        result = _Second.__new__(_Second)
        result.requests = self.requests + sign * other.requests
        result.failed = self.failed + sign * other.failed
        result.seconds = self.seconds + sign * other.seconds
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
    latency, first_byte, per_token = (tuple(row) for row in total.histograms.tolist())
    return Window(
        length_s=float(len(seconds)),
        requests=total.requests,
        failed=total.failed,
        seconds=total.seconds,
        latency=latency,
        first_byte=first_byte,
        per_token=per_token,
    )
