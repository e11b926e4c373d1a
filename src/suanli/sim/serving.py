"""A service, request by request, on a virtual clock: arrivals, the gateway's queue and its choice, replicas.

The choice is the gateway's own (`policies/balancing.py`), and so is the order: a request waits, first come first
served, while no replica has room; it is refused where too many wait, or after `queue_s`. One gateway worker is played.
Deadlines, hedging, failing replicas and updates are not. Nothing here draws: arrivals and times come as arrays.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.workload import Access
from suanli.policies.balancing import BALANCERS, has_room, mixed
from suanli.policies.pace import Mean, Pace

Seconds = NDArray[np.float64]


class Requests(msgspec.Struct, frozen=True, eq=False):
    """`arrive_s` float[n], ascending, and what each takes on a replica of speed 1, `work_s` float[n]."""

    arrive_s: Seconds
    work_s: Seconds


class Overheads(msgspec.Struct, frozen=True, kw_only=True):
    """What a request takes beside its work: `entry_s` from the client to the gateway and back, `hop_s` from there to
    the replica and back, `slack_s` at the replica, which is held for as long."""

    entry_s: float = 0.0
    hop_s: float = 0.0
    slack_s: float = 0.0


NONE = Overheads()


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas by how fast they truly are, ready at the start. Each works on `at_once` requests at a time (0: any
    number, none slowed by others); what it is sent beyond waits there. Further ones take `startup_s` and are as fast
    as 1."""

    speeds: tuple[float, ...] = (1.0,)
    at_once: int = 1
    startup_s: float = 0.0


class Scaler(Protocol):
    """Looks every `every_s` and says how many replicas there should be."""

    every_s: float

    def replicas(self, run: "ServingRun") -> int: ...


SWEEP_S = 1.0
"""So often a gateway looks whose speed it has not seen lately."""


class Replica:
    """`in_flight` as the gateway counts, with the `pace` that it sees; `working`, `queue`
    (requests) and `power` (how fast it truly is) are the replica's own."""

    __slots__ = (
        "began_s", "in_flight", "in_flight_max", "leaves", "name_hash", "pace", "power", "queue", "ready",
        "working",
    )  # fmt: skip

    def __init__(
        self, number: int, power: float, in_flight_max: int, began_s: float, ready: bool, usual: Mean
    ) -> None:
        self.in_flight = 0
        self.in_flight_max = in_flight_max
        self.power = power
        self.pace = Pace(usual)
        self.name_hash = mixed(number)
        self.began_s = began_s
        self.ready = ready
        self.leaves = False
        self.working = 0
        self.queue: deque[int] = deque()

    @property
    def speed(self) -> float:
        """As the gateway has measured it."""
        return self.pace.speed


class Served(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`latency_s` float[n] is inf for what was refused (`refused` bool[n]) or not answered by the end.

    `counts` are (second, replicas wanted, replicas ready) wherever one of them changed.
    """

    requests: Requests
    latency_s: Seconds
    refused: NDArray[np.bool_]
    replica_s: float
    to_s: float
    counts: tuple[tuple[float, int, int], ...]


def serve(
    requests: Requests,
    fleet: Fleet,
    access: Access,
    *,
    overheads: Overheads = NONE,
    scaler: Scaler | None = None,
    to_s: float | None = None,
) -> Served:
    """Play all requests to their end, or until `to_s`. O(n · (log n + replicas))."""
    run = ServingRun(requests, fleet, access, overheads, scaler)
    run.play(math.inf if to_s is None else to_s)
    return run.outcome()


class ServingRun:
    """The state of a run. What a scaler may look at has no underscore; the rest is the event loop's.

    `arrive_s`, `sent_s` and `back_s` are when a request came, the gateway sent it, and had its answer; `done` are the
    answered ones in order.
    """

    def __init__(
        self, requests: Requests, fleet: Fleet, access: Access, overheads: Overheads, scaler: Scaler | None
    ) -> None:
        self.requests = requests
        self.access = access
        self.now_s = 0.0
        self.arrived = 0
        self.in_flight = 0
        self.waiting: deque[int] = deque()
        self.replicas: list[Replica] = []
        self.gone_replica_s = 0.0
        self.done: list[int] = []
        self.last_arrival_s: float | None = None
        count = len(requests.arrive_s)
        self.sent_s = [math.inf] * count
        self.back_s = [math.inf] * count
        self.wanted = len(fleet.speeds)
        self.startup_s = fleet.startup_s
        self._fleet = fleet
        self._hop_s = overheads.hop_s / 2.0
        self._slack_s = overheads.slack_s
        self._entry_s = overheads.entry_s
        self._scaler = scaler
        self._balance = BALANCERS[access.balance]
        self.arrive_s: list[float] = requests.arrive_s.tolist()
        self._work_s: list[float] = requests.work_s.tolist()
        self._left = [False] * count  # it was refused
        self._usual = Mean()
        self._events: list[tuple[float, int, Callable[[int, Replica | None], None], int, Replica | None]] = []
        self._turn = 0
        self._numbers = 0
        self._sequence = 0
        self._counts: list[tuple[float, int, int]] = []
        for power in fleet.speeds:
            self._add_replica(power, ready=True)
        self._note_counts()

    @property
    def ready(self) -> list[Replica]:
        """Those that may be given requests."""
        return [replica for replica in self.replicas if replica.ready and not replica.leaves]

    def play(self, to_s: float) -> None:
        """Arrivals come from their list and all else from a heap; at the same instant what ends goes first."""
        arrive_s, events, count = self.arrive_s, self._events, len(self.arrive_s)
        self._at(SWEEP_S, self._sweep)
        if self._scaler is not None:
            self._at(self._scaler.every_s, self._look)
        while True:
            next_s = arrive_s[self.arrived] if self.arrived < count else math.inf
            event_s = events[0][0] if events else math.inf
            if min(next_s, event_s) > to_s or (self.arrived == count and self._is_idle()):
                break
            if next_s < event_s:
                self.now_s = next_s
                self._arrive(self.arrived)
            else:
                self.now_s, _, happens, request, replica = heapq.heappop(events)
                happens(request, replica)
        if not math.isinf(to_s):
            self.now_s = to_s

    def outcome(self) -> Served:
        latency_s = np.array(self.back_s) - self.requests.arrive_s + self._entry_s
        held_s = sum(self.now_s - replica.began_s for replica in self.replicas)
        return Served(
            requests=self.requests,
            latency_s=latency_s,
            refused=np.array(self._left, dtype=np.bool_),
            replica_s=self.gone_replica_s + held_s,
            to_s=self.now_s,
            counts=tuple(self._counts),
        )

    def _is_idle(self) -> bool:
        return not self.waiting and not self.in_flight

    def _at(
        self,
        at_s: float,
        happens: Callable[[int, Replica | None], None],
        request: int = -1,
        replica: Replica | None = None,
    ) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (at_s, self._sequence, happens, request, replica))

    # --- requests

    def _arrive(self, request: int) -> None:
        self.arrived += 1
        self.last_arrival_s = self.now_s
        if not self.waiting and self._send(request):
            return
        if len(self.waiting) >= self.access.queue:
            self._left[request] = True
            return
        self.waiting.append(request)
        self._at(self.now_s + self._wait_s(), self._waited, request)

    def _wait_s(self) -> float:
        return self.access.queue_s if self.ready else max(self.access.hold_s, self.access.queue_s)

    def _waited(self, request: int, _: Replica | None) -> None:
        """Its time in the queue is up, unless there is no replica now."""
        if not math.isinf(self.sent_s[request]) or self._left[request]:
            return
        until_s = self.arrive_s[request] + self._wait_s()
        if until_s > self.now_s and not self.ready:
            self._at(until_s, self._waited, request)
            return
        self.waiting.remove(request)
        self._left[request] = True

    def _send(self, request: int) -> bool:
        """To a replica that has room, as the gateway chooses; False where none has."""
        free = [
            replica for replica in self.replicas if replica.ready and not replica.leaves and has_room(replica)
        ]
        if not free:
            return False
        replica = free[self._balance(free, self._turn, None)]
        self._turn += 1
        replica.in_flight += 1
        self.in_flight += 1
        if replica.in_flight == 1:
            replica.pace.begins(self.now_s)
        self.sent_s[request] = self.now_s
        if self._hop_s:
            self._at(self.now_s + self._hop_s, self._reach, request, replica)
        else:
            self._reach(request, replica)
        return True

    def _reach(self, request: int, replica: Replica | None) -> None:
        assert replica is not None
        if self._fleet.at_once and replica.working >= self._fleet.at_once:
            replica.queue.append(request)
        else:
            self._work(request, replica)

    def _work(self, request: int, replica: Replica) -> None:
        replica.working += 1
        over_s = self.now_s + self._work_s[request] / replica.power + self._slack_s
        self._at(over_s, self._worked, request, replica)

    def _worked(self, request: int, replica: Replica | None) -> None:
        assert replica is not None
        replica.working -= 1
        if replica.queue:
            self._work(replica.queue.popleft(), replica)
        if self._hop_s:
            self._at(self.now_s + self._hop_s, self._answered, request, replica)
        else:
            self._answered(request, replica)

    def _answered(self, request: int, replica: Replica | None) -> None:
        assert replica is not None
        replica.in_flight -= 1
        self.in_flight -= 1
        self.back_s[request] = self.now_s
        self.done.append(request)
        replica.pace.answered(self.now_s)
        if replica.leaves and not replica.in_flight:
            self._remove(replica)
        self._pump()

    def _pump(self) -> None:
        while self.waiting and self._send(self.waiting[0]):
            self.waiting.popleft()

    def _sweep(self, _: int, __: Replica | None) -> None:
        for replica in self.replicas:
            replica.pace.second_over()
        self._at(self.now_s + SWEEP_S, self._sweep)

    # --- replicas

    def _look(self, _: int, __: Replica | None) -> None:
        assert self._scaler is not None
        self.wanted = self._scaler.replicas(self)
        staying = [replica for replica in self.replicas if not replica.leaves]
        for _more in range(self.wanted - len(staying)):
            replica = self._add_replica(1.0, ready=False)
            self._at(self.now_s + self._fleet.startup_s, self._start, -1, replica)
        for replica in _to_leave(staying, len(staying) - self.wanted):
            replica.leaves = True
            if not replica.in_flight:
                self._remove(replica)
        self._note_counts()
        self._at(self.now_s + self._scaler.every_s, self._look)

    def _add_replica(self, power: float, *, ready: bool) -> Replica:
        replica = Replica(self._numbers, power, self.access.concurrency, self.now_s, ready, self._usual)
        self._numbers += 1
        self.replicas.append(replica)
        return replica

    def _start(self, _: int, replica: Replica | None) -> None:
        assert replica is not None
        if not replica.leaves:
            replica.ready = True
            self._note_counts()
            self._pump()

    def _remove(self, replica: Replica) -> None:
        self.gone_replica_s += self.now_s - replica.began_s
        self.replicas.remove(replica)

    def _note_counts(self) -> None:
        told = (self.wanted, len(self.ready))
        if not self._counts or self._counts[-1][1:] != told:
            self._counts.append((self.now_s, *told))


def _to_leave(staying: Sequence[Replica], count: int) -> list[Replica]:
    """Those that are not ready yet first, then the newest."""
    if count <= 0:
        return []
    return sorted(staying, key=lambda replica: (replica.ready, -replica.began_s))[:count]
