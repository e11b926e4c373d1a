"""How long a workload will run: declared, else learned from what finished."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from heapq import nlargest
from statistics import fmean, median

from suanli.domain.record import Record, Status
from suanli.domain.workload import Workload

Likeness = tuple[str, tuple[str, ...], int]

SERVICES_MAX = 1_000

_Time = tuple[
    float, str, float, float
]  # when it ended, who it was, its useful seconds, and those times devices


class DurationHistory:
    """Running times of what succeeded, by team, command and size; without the work that was lost and run again.

    A function of the records it was told and of nothing else: neither of their order, nor of what was forgotten. `add`
    and `forget` are O(log n) and a shift in their class, an estimate is O(`per_class`) after a change, else O(1);
    `services_s` after a change O(`per_class` · classes).
    """

    def __init__(self, per_class: int = 50) -> None:
        self._per_class = per_class
        self._times: dict[Likeness, list[_Time]] = {}
        self._medians: dict[Likeness, float] = {}
        self._services: tuple[int, list[float]] = (0, [])
        self.version = 0  # another one means that an estimate may have changed

    def add(self, record: Record) -> None:
        if record.status is Status.SUCCEEDED:
            like = likeness(record)
            insort(self._times.setdefault(like, []), _time(record))
            self._medians.pop(like, None)
            self.version += 1

    def add_all(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record)

    def forget(self, record: Record) -> None:
        """Take back what `add` was told of this very record."""
        if record.status is not Status.SUCCEEDED:
            return
        like = likeness(record)
        times = self._times.get(like, [])
        i = bisect_left(times, _time(record))
        if i < len(times) and times[i] == _time(record):
            del times[i]
            self._medians.pop(like, None)
            self.version += 1

    def copy(self) -> "DurationHistory":
        twin = DurationHistory(self._per_class)
        twin._times = {like: list(times) for like, times in self._times.items()}
        twin._medians = dict(self._medians)
        twin.version = self.version
        return twin

    def estimate_s(self, record: Record) -> float | None:
        """Seconds of running from start to end: declared, else the median of its latest like, else None."""
        declared = declared_s(record.workload)
        return self.median_s(likeness(record)) if declared is None else declared

    def median_s(self, like: Likeness) -> float | None:
        """The median of its latest, None where none is known."""
        if not self._times.get(like):
            return None
        if like not in self._medians:
            latest = self._times[like][-self._per_class :]
            self._medians[like] = median(useful_s for _, _, useful_s, _ in latest)
        return self._medians[like]

    def services_s(self) -> list[float]:
        """Seconds times devices that the latest 1,000 have had, of each class its latest, in rising order."""
        version, services = self._services
        if version != self.version:
            of_classes = (time for times in self._times.values() for time in times[-self._per_class :])
            services = sorted(service_s for *_, service_s in nlargest(SERVICES_MAX, of_classes))
            self._services = self.version, services
        return services


def declared_s(workload: Workload) -> float | None:
    """Seconds that its owner says it takes: as such, else all its work at the mean of its speeds."""
    if workload.duration_s is not None or workload.work is None:
        return workload.duration_s
    return workload.work / mean_speed(workload)


def saved_s(record: Record) -> float:
    """Seconds of its work that are safe: on as many nodes as it was declared for, at the mean of its speeds."""
    if record.workload.speeds or record.workload.elastic_nodes:
        return record.done / mean_speed(record.workload)
    return max(0.0, record.run_s - record.lost_s)


def mean_speed(workload: Workload) -> float:
    """Units of work in a second, over the models that it can use; 1 where it declares none."""
    usable = [speed for speed in workload.speeds.values() if speed > 0]
    return fmean(usable) if usable else 1.0


def devices(workload: Workload) -> float:
    """What its service is counted in: devices of the whole gang, cores where it uses none."""
    demand = workload.demand
    return workload.nodes * (max((a.count for a in demand.accelerators), default=0.0) or demand.cpus)


def likeness(record: Record) -> Likeness:
    workload = record.workload
    return (workload.team, workload.run, workload.worker_count)


def _time(record: Record) -> _Time:
    useful_s = max(0.0, record.run_s - record.lost_s)
    return (record.ended_s or 0.0, record.key, useful_s, useful_s * devices(record.workload))
