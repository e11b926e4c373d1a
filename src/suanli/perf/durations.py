"""How long a workload will run: declared, else learned from what finished."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from suanli.domain.record import Record, Status

Likeness = tuple[str, tuple[str, ...], int]


class DurationHistory:
    """Running times of what succeeded, by team, command and size. `add` is O(1), an estimate O(n log n) of its class.

    At most `per_class` latest times are kept for each class.
    """

    def __init__(self, per_class: int = 50) -> None:
        self._per_class = per_class
        self._times_s: dict[Likeness, list[float]] = defaultdict(list)

    def add(self, record: Record) -> None:
        if record.status is Status.SUCCEEDED:
            times = self._times_s[_likeness(record)]
            times.append(record.run_s)
            del times[: -self._per_class]

    def add_all(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record)

    def estimate_s(self, record: Record) -> float | None:
        """Seconds of running from start to end: declared, else the median of its like, else None."""
        if record.workload.duration_s is not None:
            return record.workload.duration_s
        times = self._times_s.get(_likeness(record))
        return median(times) if times else None


def _likeness(record: Record) -> Likeness:
    workload = record.workload
    return (workload.team, workload.run, workload.worker_count)
