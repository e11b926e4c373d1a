"""What gateways' workers say: counts that only grow become what came since, by service."""

from collections.abc import Mapping, Sequence

from suanli.domain.traffic import Counted, Demand, Window
from suanli.policies.autoscale.lately import Lately, Second
from suanli.serving.gateway.stats import ServiceStats, WorkerStats

REMEMBERED_S = 3600.0
"""A worker that was silent for longer is not known any more."""


class Traffic:
    """A bounded history by service and revision. What a worker had counted before it was first seen is left out."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], WorkerStats] = {}
        self._lately: dict[str, Lately] = {}
        self._ever: dict[str, int] = {}
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
                from_s = before.at_s if before else worker.started_s
                for name, stats in worker.services.items():
                    former = before.services.get(name) if before else None
                    lately = self._lately.setdefault(name, Lately(self._began_s))
                    arrived = stats.arrived - (former.arrived if former else 0)
                    self._ever[name] = self._ever.get(name, 0) + arrived
                    lately.arrived(worker.pid, from_s, worker.at_s, arrived, now_s)
                    _count(lately, stats, former, now_s)
        told = {name for worker in workers for name in worker.services}
        for name in self._lately.keys() - told:
            if self._lately[name].is_over(now_s):
                del self._lately[name]
        # those that are silent now may be heard again, and have been counted
        self._seen = {key: seen for key, seen in self._seen.items() if seen.at_s > now_s - REMEMBERED_S}
        self._seen |= {(worker.pid, worker.started_s): worker for worker in workers}

    def windows(self, service: str, since_s: float) -> Mapping[int, Window]:
        """By revision what was answered after `since_s`."""
        lately = self._lately.get(service)
        return lately.windows(since_s) if lately is not None else {}

    def arrived(self, service: str) -> int:
        """How many requests came ever."""
        return self._ever.get(service, 0)

    def demand(self, service: str, workers: Sequence[WorkerStats], ready: int, now_s: float) -> Demand:
        """What waits and is in flight now, what has come lately, and how long it took; `ready` replicas answer."""
        found = [stats for worker in workers if (stats := worker.services.get(service)) is not None]
        lately = self._lately.get(service) or Lately(now_s if self._began_s is None else self._began_s)
        waiting = sum(stats.waiting for stats in found)
        in_flight = sum(stats.in_flight for stats in found)
        return lately.demand(now_s, waiting, in_flight, ready, known=bool(workers))


def _count(lately: Lately, stats: ServiceStats, before: ServiceStats | None, now_s: float) -> None:
    for revision, counted in stats.by_revision.items():
        former = before.by_revision.get(revision) if before else None
        lately.answered(int(revision), Second(counted) - Second(former or Counted()), now_s)
