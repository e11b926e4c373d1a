"""`State`: everything a decision looks at, kept up to date by difference."""

from collections.abc import Iterable, Mapping

import numpy as np

from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Record, Status
from suanli.domain.resources import Share
from suanli.perf.durations import DurationHistory
from suanli.policies.parts import Queue
from suanli.policies.table import NodeTable


class State:
    """The fleet as arrays, workloads by what they may do next. A step reads it and never changes it.

    `declared` are the quotas and scaling of the fleet; `unusable` says why a node takes nothing new (`down`,
    `cordoned`, `draining`). `load` is node -> metric -> mean fraction, `use` is key -> used fraction of what is held;
    both may lack entries: unknown is not zero. `apply` costs what changed, `set_nodes` O(N + live placements).
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet: Fleet = fleet
        self.records: dict[str, Record] = {}
        self.waiting: dict[str, Record] = {}
        self.live: dict[str, Record] = {}
        self.by_name: dict[str, dict[str, Record]] = {}
        self.team_use: dict[str, dict[str, float]] = {}
        self.unusable: dict[str, str] = {}
        self.load: Mapping[str, Mapping[str, float]] = {}
        self.use: Mapping[str, float] = {}
        self.durations = DurationHistory()
        self.table = NodeTable(fleet.nodes)

    def apply(self, records: Iterable[Record]) -> None:
        """Take changed records in. O(changed), and what `DurationHistory` costs."""
        for record in records:
            self._forget(self.records.get(record.key))
            self.records[record.key] = record
            self.by_name.setdefault(record.name, {})[record.key] = record
            if record.status in (Status.WAITING, Status.HELD):
                self.waiting[record.key] = record
            elif record.status.is_live:
                self.live[record.key] = record
                self._hold(record, 1.0)
            else:
                self.durations.add(record)

    def set_nodes(self, fleet: Fleet, unusable: Mapping[str, str]) -> None:
        """Take a changed fleet in. What runs on a node that is gone goes on being counted elsewhere only."""
        self.unusable = dict(unusable)
        if fleet != self.fleet:
            self.fleet = fleet
            self.table = NodeTable(fleet.nodes)
            for record in self.live.values():
                if record.attempt is not None:
                    self.table.take(record.attempt.placements)
        self.table.usable = np.array([name not in self.unusable for name in self.table.names], dtype=np.bool_)

    def copy(self) -> "State":
        """A state to try things on. O(workloads), shallow."""
        twin = object.__new__(State)
        twin.__dict__.update(self.__dict__)
        twin.table = self.table.copy()
        for name in ("records", "waiting", "live", "unusable"):
            setattr(twin, name, dict(getattr(self, name)))
        twin.by_name = {name: dict(group) for name, group in self.by_name.items()}
        twin.durations = self.durations.copy()
        twin.team_use = {team: dict(use) for team, use in self.team_use.items()}
        return twin

    def queue(self, records: list[Record], now_s: float) -> Queue:
        """One row for each record, in the order given. O(n)."""
        durations = [self.durations.estimate_s(record) for record in records]
        duration_s = np.array([np.nan if d is None else d for d in durations], dtype=np.float64)
        saved_s = np.array([max(0.0, record.run_s - record.lost_s) for record in records], dtype=np.float64)
        return Queue(
            priority=np.array([r.workload.priority for r in records], dtype=np.float64),
            waited_s=np.array([self.waited_s(record, now_s) for record in records], dtype=np.float64),
            seq=np.array([r.seq for r in records], dtype=np.int64),
            duration_s=duration_s,
            remaining_s=np.maximum(duration_s - saved_s, 0.0),
        )

    def waited_s(self, record: Record, now_s: float) -> float:
        """Seconds that it has waited for resources: neither for its start time nor for what it depends on."""
        waited_s = record.wait_s
        if record.status is Status.WAITING:
            waited_s += now_s - record.waiting_since_s
        workload = record.workload
        if not workload.depends_on and workload.not_before_s is None:
            return waited_s
        ended_s = [
            r.ended_s or 0.0 for name in workload.depends_on for r in self.by_name.get(name, {}).values()
        ]
        eligible_s = max([workload.not_before_s or 0.0, *ended_s])
        return max(0.0, waited_s - max(0.0, eligible_s - record.submitted_s))

    def node(self, name: str) -> Node | None:
        i = self.table.index.get(name)
        return None if i is None else self.table.nodes[i]

    def _forget(self, record: Record | None) -> None:
        if record is None:
            return
        self.durations.forget(record)
        self.waiting.pop(record.key, None)
        if self.live.pop(record.key, None) is not None:
            self._hold(record, -1.0)

    def _hold(self, record: Record, sign: float) -> None:
        if record.attempt is None:
            return
        (self.table.take if sign > 0 else self.table.give)(record.attempt.placements)
        use = self.team_use.setdefault(record.workload.team, {})
        for placement in record.attempt.placements:
            add_share(use, placement.share, sign)


def by_seq(records: Mapping[str, Record]) -> list[Record]:
    """In order of submission: what a decision says must not depend on when the state learned of whom."""
    return sorted(records.values(), key=lambda record: record.seq)


def add_share(use: dict[str, float], share: Share, sign: float = 1.0) -> None:
    """Count a share into quantities by the names that quotas use."""
    amounts = {
        "cpus": share.cpus,
        "memory_bytes": share.memory_bytes,
        share.accelerator: share.accelerator_count,
    }
    for resource, amount in amounts.items():
        if resource and amount:
            use[resource] = use.get(resource, 0.0) + sign * amount
