"""The whole of what the event log says: the fold of all entries. One owner folds; readers get `copy()`."""

import msgspec

from suanli.domain import events as ev
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record
from suanli.domain.service import ServiceRecord
from suanli.domain.service_transition import apply_to_service
from suanli.domain.transition import apply

DEFAULT_POLICY = "priority+as-requested+best-fit"


class World(msgspec.Struct, kw_only=True):
    """Mutable fold. `seq` is the last entry it contains; `changed` the keys since `take_changes`."""

    seq: int = 0
    records: dict[str, Record] = msgspec.field(default_factory=dict[str, Record])
    fleet: Fleet | None = None
    cordoned: dict[str, bool] = msgspec.field(default_factory=dict[str, bool])
    policy: str = DEFAULT_POLICY
    services: dict[str, ServiceRecord] = msgspec.field(default_factory=dict[str, ServiceRecord])

    def fold(self, entry: ev.Entry) -> None:
        """Take one entry in. O(1). Raises IllegalTransition and leaves the world as it was."""
        event = entry.event
        if isinstance(event, ev.WorkloadEvent):
            self.records[event.key] = apply(self.records.get(event.key), entry)
        elif isinstance(event, ev.ServiceEvent):
            self.services[event.service] = apply_to_service(self.services.get(event.service), entry)
        else:
            self._fold_fleet(event)
        self.seq = entry.seq

    def _fold_fleet(self, event: ev.FleetEvent) -> None:
        match event:
            case ev.FleetDeclared():
                self.fleet = event.fleet
            case ev.PolicyChosen():
                self.policy = event.policy
            case ev.NodeCordoned():
                self.cordoned[event.node] = event.drain
            case ev.NodeUncordoned():
                self.cordoned.pop(event.node, None)

    def copy(self) -> "World":
        """A snapshot that later folds do not change. O(workloads), shallow: records are frozen."""
        return World(
            seq=self.seq,
            records=dict(self.records),
            fleet=self.fleet,
            cordoned=dict(self.cordoned),
            policy=self.policy,
            services=dict(self.services),
        )
