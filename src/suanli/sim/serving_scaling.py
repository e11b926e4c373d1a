"""A simulated service scales itself: what the controller sees, and its very own decision (`kernel/scaling.py`)."""

from collections.abc import Sequence

from suanli.domain import events as ev
from suanli.domain.service import Phase, Revision, ServiceRecord
from suanli.domain.service_transition import apply_to_service
from suanli.domain.traffic import Counted, bucket_of
from suanli.domain.workload import Workload
from suanli.kernel.scaling import scaled, wish_of
from suanli.policies.autoscale.delays import Wishes
from suanli.policies.autoscale.lately import Lately, Second
from suanli.policies.autoscale.wanted import Seen
from suanli.sim.serving import ServingRun

TICK_S = 0.25
"""A controller decides so often."""

TELL_TICKS = 2
"""A gateway tells what it has counted each so manieth tick."""

_REVISION = 1


class OwnScaling:
    """For one run, which begins at `began_s` (Unix time: schedules look at it) with `replicas`.

    What the replicas use of their processors is not simulated, so `utilisation` never changes anything.
    """

    every_s = TICK_S

    def __init__(self, workload: Workload, replicas: int, began_s: float = 0.0) -> None:
        revision = Revision(number=_REVISION, workload=workload, made_s=began_s, actor="")
        self.service = ServiceRecord(
            name=workload.name,
            revisions=(revision,),
            target=_REVISION,
            settled=_REVISION,
            phase=Phase.STEADY,
            step_s=began_s,
            replicas=replicas,
        )
        self.changes: list[ev.Scaled] = []
        self._began_s = began_s
        self._lately = Lately(began_s)
        self._wishes = Wishes()
        self._ticks = 0
        self._told_s = began_s
        self._told_arrived = self._told_done = 0
        self._waiting = self._in_flight = 0

    def replicas(self, run: ServingRun) -> int:
        """One cycle of the controller."""
        now_s = self._began_s + run.now_s
        self._ticks += 1
        if self._ticks % TELL_TICKS == 0:
            self._hear(run, now_s)
        demand = self._lately.demand(now_s, self._waiting, self._in_flight, len(run.ready))
        self._decide(Seen(demand=demand, ready=len(run.ready), startup_s=run.startup_s), now_s)
        return self.service.replicas

    def _hear(self, run: ServingRun, now_s: float) -> None:
        self._lately.arrived(0, self._told_s, now_s, run.arrived - self._told_arrived, now_s)
        self._lately.answered(_REVISION, Second(_counted(run, run.done[self._told_done :])), now_s)
        self._told_s, self._told_arrived, self._told_done = now_s, run.arrived, len(run.done)
        self._waiting, self._in_flight = len(run.waiting), run.in_flight

    def _decide(self, seen: Seen, now_s: float) -> None:
        wish = wish_of(self.service, seen, self._wishes, now_s)
        change = scaled(self.service, seen.demand, wish, now_s)
        if change is not None:
            self.changes.append(change)
            entry = ev.Entry(seq=len(self.changes), at_s=now_s, actor="controller", event=change)
            self.service = apply_to_service(self.service, entry)


def _counted(run: ServingRun, done: Sequence[int]) -> Counted:
    """As a gateway's worker counts. An answer comes whole: its first byte is its last."""
    counted = Counted(requests=len(done))
    for request in done:
        back_s = run.back_s[request]
        latency_s, served_s = back_s - run.arrive_s[request], back_s - run.sent_s[request]
        counted.seconds += latency_s
        counted.served_seconds += served_s
        counted.latency[bucket_of(latency_s)] += 1
        counted.served[bucket_of(served_s)] += 1
    counted.first_byte = counted.latency
    return counted
