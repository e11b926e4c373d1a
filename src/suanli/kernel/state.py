"""`State`: everything a decision looks at, kept up to date by difference."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping

import numpy as np

from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Record, Status
from suanli.domain.resources import Demand, Share
from suanli.domain.workload import Kind
from suanli.kernel.asks import Shapes
from suanli.kernel.entitlement import Entitlement
from suanli.kernel.line import Line
from suanli.perf.durations import DurationHistory
from suanli.policies.mix import Mix, mix_of
from suanli.policies.order.priority import standing
from suanli.policies.parts import Policy, Queue, Teams, Version
from suanli.policies.table import Indices, NodeTable

VERSIONS_MAX = 1000
"""Of models, of which it is known where they have been fetched to."""


class State:
    """The fleet as arrays, workloads by what they may do next. A step reads it and never changes it.

    `declared` are the quotas and scaling of the fleet; `unusable` says why a node takes nothing new (`down`,
    `cordoned`, `draining`). `load` is node -> metric -> mean fraction, `use` is key -> used fraction of what is held;
    both may lack entries: unknown is not zero. `served` is the fleet as if all had ended that ever ends: only services
    hold something there. `stopping` and `reclaimable` (by an idle rule) are parts of `live`. `models_at` says by
    version of a model which nodes have fetched it, as far as is known. `apply` costs what changed, `set_nodes` O(N +
    live placements).
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet: Fleet = fleet
        self.records: dict[str, Record] = {}
        self.waiting: dict[str, Record] = {}
        self.line = Line()
        self.live: dict[str, Record] = {}
        self.stopping: dict[str, Record] = {}
        self.reclaimable: dict[str, Record] = {}
        self.by_name: dict[str, dict[str, Record]] = {}
        self.models_at: dict[Version, frozenset[str]] = {}
        self.team_use: dict[str, dict[str, float]] = {}
        self.unusable: dict[str, str] = {}
        self.load: Mapping[str, Mapping[str, float]] = {}
        self.use: Mapping[str, float] = {}
        self.durations = DurationHistory()
        self.table = NodeTable(fleet.nodes)
        self.served = self.table.copy()
        self._standings: list[float] = []
        self._saving: list[float] = []
        self._demands: dict[Demand, int] = {}
        self._entitlement: Entitlement | None = None
        self._shapes: Shapes | None = None

    def apply(self, records: Iterable[Record]) -> None:
        """Take changed records in. O(changed), and what `DurationHistory` costs."""
        for record in records:
            before = self.records.get(record.key)
            self._forget(before)
            if before is None:
                demand = record.workload.demand
                self._demands[demand] = self._demands.get(demand, 0) + 1
            self.records[record.key] = record
            self.by_name.setdefault(record.name, {})[record.key] = record
            if record.status in (Status.WAITING, Status.HELD):
                self.waiting[record.key] = record
                self.line.add(record)
            elif record.status.is_live:
                self.live[record.key] = record
                if record.status is Status.STOPPING:
                    self.stopping[record.key] = record
                elif record.workload.idle is not None and record.status is Status.RUNNING:
                    self.reclaimable[record.key] = record
                self._hold(record, 1.0)
                if record.status is Status.RUNNING:
                    self._note_model(record)
            else:
                self.durations.add(record)

    def set_nodes(self, fleet: Fleet, unusable: Mapping[str, str]) -> None:
        """Take a changed fleet in. What runs on a node that is gone goes on being counted elsewhere only."""
        self.unusable = dict(unusable)
        if fleet != self.fleet:
            self.fleet = fleet
            self._entitlement = None
            self.table = NodeTable(fleet.nodes)
            self.served = self.table.copy()
            for record in self.live.values():
                if record.attempt is not None:
                    self.table.take(record.attempt.placements)
                    if record.workload.kind is Kind.SERVE:
                        self.served.take(record.attempt.placements)
        self.table.usable = np.array([name not in self.unusable for name in self.table.names], dtype=np.bool_)
        self.served.usable = self.table.usable

    def copy(self, waiting: Iterable[Record] | None = None) -> "State":
        """A state to try things on, in which only those given wait, if any are. O(workloads), shallow."""
        twin = object.__new__(State)
        twin.__dict__.update(self.__dict__)
        twin.table, twin.served = self.table.copy(), self.served.copy()
        for name in ("records", "live", "stopping", "reclaimable", "unusable", "models_at"):
            setattr(twin, name, dict(getattr(self, name)))
        twin.waiting = dict(self.waiting) if waiting is None else {record.key: record for record in waiting}
        twin.line = self.line.copy() if waiting is None else Line(twin.waiting.values())
        twin.by_name = {name: dict(group) for name, group in self.by_name.items()}
        twin.durations = self.durations.copy()
        twin.team_use = {team: dict(use) for team, use in self.team_use.items()}
        twin._standings = list(self._standings)
        twin._saving = list(self._saving)
        twin._demands = dict(self._demands)
        twin._entitlement = None
        twin._shapes = None
        return twin

    def shapes(self, policy: Policy) -> Shapes:
        """What is asked for in terms of the table; remembered from step to step."""
        if self._shapes is None or not self._shapes.are_for(self.table, policy):
            self._shapes = Shapes(self.table, policy)
        return self._shapes

    def queue(self, rows: Indices, now_s: float) -> Queue:
        """Those rows of `line`, in that order. O(n)."""
        line, picked = self.line, self.line.picked(rows)
        waited_s = line.column("waited_s", picked) + (now_s - line.column("since_s", picked))
        if line.special:
            position = np.full(len(line), -1)
            position[rows] = np.arange(len(rows))
            for key, record in line.special.items():
                i = int(position[line.row(key)])
                if i >= 0:
                    waited_s[i] = self.waited_s(record, now_s)
        duration_s = line.duration_s(picked, self.durations)
        return Queue(
            priority=line.column("priority", picked),
            waited_s=waited_s,
            seq=line.column("seq", picked).astype(np.int64),
            duration_s=duration_s,
            remaining_s=np.maximum(duration_s - line.column("saved_s", picked), 0.0),
            deadline_s=line.column("deadline_s", picked),
            attained_s=line.column("attained_s", picked),
            teams=lambda: self.teams(rows),
            services_s=lambda: np.array(self.durations.services_s(), dtype=np.float64),
        )

    def teams(self, rows: Indices) -> Teams:
        """Of those rows of `line`. What is held is counted when first asked for, O(live), then by difference."""
        if self._entitlement is None:
            self._entitlement = Entitlement(self.fleet, self.table, self.live.values())
        return self._entitlement.teams(self.line, rows)

    def mix(self) -> Mix:
        """What has been asked for so far. O(distinct demands)."""
        return mix_of((demand, float(count)) for demand, count in self._demands.items())

    def may_be_preempted(self, priority: float, *, serves: bool = False) -> bool:
        """Whether anything may run whose standing is below that priority, for a service that of `kernel.preempt`: if
        not, no search is needed. O(1)."""
        least = [*self._standings[:1], *(self._saving[:1] if serves else ())]
        return any(points < priority for points in least)

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
        if self.waiting.pop(record.key, None) is not None:
            self.line.remove(record.key)
        self.stopping.pop(record.key, None)
        self.reclaimable.pop(record.key, None)
        if self.live.pop(record.key, None) is not None:
            self._hold(record, -1.0)

    def _note_model(self, record: Record) -> None:
        """Whoever runs has begun by fetching its model. Versions that have been fetched last are known."""
        use = record.workload.model
        if use is None or record.attempt is None:
            return
        version = use.version
        nodes = frozenset(placement.node for placement in record.attempt.placements)
        self.models_at[version] = self.models_at.pop(version, frozenset()) | nodes
        while len(self.models_at) > VERSIONS_MAX:
            del self.models_at[next(iter(self.models_at))]

    def _least_standing(self, record: Record) -> float:
        """Its standing, or no more than that where it depends on what becomes of others."""
        w = record.workload
        waited_s = 0.0 if w.depends_on or w.not_before_s is not None else record.wait_s
        return standing(float(w.priority), waited_s)

    def _hold(self, record: Record, sign: float) -> None:
        if record.attempt is None:
            return
        placements = record.attempt.placements
        (self.table.take if sign > 0 else self.table.give)(placements)
        if record.workload.kind is Kind.SERVE:
            (self.served.take if sign > 0 else self.served.give)(placements)
        if self._entitlement is not None:
            self._entitlement.hold(record, int(sign))
        if record.workload.preemptible:
            _enter(self._standings, self._least_standing(record), sign)
            if record.workload.saves:
                _enter(self._saving, float(record.workload.priority), sign)
        use = self.team_use.setdefault(record.workload.team, {})
        for placement in placements:
            add_share(use, placement.share, sign)


def _enter(ascending: list[float], points: float, sign: float) -> None:
    if sign > 0:
        insort(ascending, points)
    else:
        del ascending[bisect_left(ascending, points)]


def by_seq(records: Mapping[str, Record]) -> list[Record]:
    """In order of submission: what a decision says must not depend on when the state learned of whom."""
    return sorted(records.values(), key=lambda record: record.seq)


def unended(state: State) -> list[Record]:
    """All that runs, then all that waits, each in order of submission."""
    return [*by_seq(state.live), *by_seq(state.waiting)]


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
