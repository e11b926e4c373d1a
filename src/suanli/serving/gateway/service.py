"""One service as this worker knows it: which replicas take a request now, and who waits for one.

A request is given a revision by share when it comes and keeps it, so that a slow revision gets its share and not what
it manages. It waits, in order, for a replica of that revision; where the revision has none that works, any other does.
"""

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol
from zlib import crc32

from suanli.domain.traffic import Counted
from suanli.policies.balancing import BALANCERS, has_room, mixed, smooth, sticky
from suanli.policies.pace import Mean
from suanli.serving.gateway.routes import Route, Target
from suanli.serving.gateway.stats import ServiceStats
from suanli.serving.gateway.upstream import Replica

log = logging.getLogger(__name__)

REVISIONS_REMEMBERED = 8
"""Of those that are gone: so many are still told of."""


class Asker(Protocol):
    """A request that needs a replica. `affinity` hashes its session, user or prompt; `pinned` is its revision once it
    has one; `avoided` are replicas that it could not reach."""

    session: int | None
    affinity: int | None
    pinned: int | None
    avoided: tuple[Replica, ...]
    queued: bool
    sequence: int

    def served(self, replica: Replica) -> None:
        """A replica is free for it, and counted as taken."""
        ...

    def removed(self) -> None:
        """The service is no more."""
        ...


class Revision:
    """Its replicas, and who waits for one of them."""

    __slots__ = ("number", "replicas", "share", "traffic", "waiting")

    def __init__(self, number: int, share: float, traffic: Counted) -> None:
        self.number = number
        self.share = share
        self.traffic = traffic
        self.replicas: list[Replica] = []
        self.waiting: deque[Asker] = deque()


class Part(NamedTuple):
    """Of the worker `worker`, one of so many that share what a service and its replicas may be given."""

    worker: int
    workers: int

    def of(self, limit: int, at: int = 0) -> int:
        """This worker's part of a limit, at least 1; nothing of none. What is left over goes to others by `at`."""
        each, over = divmod(limit, self.workers)
        return max(1, each + ((self.worker - at) % self.workers < over)) if limit else 0


WHOLE = Part(0, 1)


class Service:
    """`clock` is the event loop's. `part` is this worker's."""

    def __init__(self, route: Route, part: Part, clock: Callable[[], float]) -> None:
        self.stats = ServiceStats()
        self.revisions: dict[int, Revision] = {}
        self.held: deque[Asker] = deque()  # no revision has a target
        self.retired: list[Replica] = []
        """No more in the routes, and perhaps still at work on something."""
        self.clock = clock
        self.gone = False
        self._part = part
        self._usual = Mean()
        self._turns = itertools.count()
        self._sequence = itertools.count()
        self._offered: list[Revision] = []
        self._shares: list[float] = []
        self._credits: list[float] = []
        self.follow(route)

    # --- routes

    def follow(self, route: Route) -> None:
        """Take a new route; whoever waits is looked at anew. What is under way is left alone."""
        self.route = route
        if route.balance not in BALANCERS:
            log.warning("%s: there is no balancer %r", route.service, route.balance)
        self.balance = BALANCERS.get(route.balance, BALANCERS["least-outstanding"])
        known = {_place(replica.target): replica for replica in self.replicas()}
        waiting = self._drain()
        self.revisions = {}
        places = itertools.count()
        for told in route.revisions:
            traffic = self.stats.by_revision.setdefault(str(told.number), Counted())
            revision = self.revisions[told.number] = Revision(told.number, told.share, traffic)
            for target in told.targets:
                replica = known.pop(_place(target), None)
                replica = replica or Replica(target, _name_hash(target), traffic, self._usual)
                room = self._part.of(route.concurrency_max, next(places))
                replica.follow(target, traffic, told.number, room)
                revision.replicas.append(replica)
        self._retire(known.values())
        self._forget_traffic()
        self._offer()
        for asker in waiting:
            self._enqueue(asker)
        self.pump()

    def _retire(self, replicas: Iterable[Replica]) -> None:
        for replica in replicas:
            replica.retire()
            self.retired.append(replica)

    def _forget_traffic(self) -> None:
        """Of revisions long gone, so that what is told stays small."""
        told = self.stats.by_revision
        gone = [number for number in told if int(number) not in self.revisions]
        for number in gone[: max(0, len(gone) - REVISIONS_REMEMBERED)]:
            del told[number]

    def _offer(self) -> None:
        """The revisions that get traffic. Credits begin anew only where the choice has changed."""
        offered = [
            revision for revision in self.revisions.values() if revision.replicas and revision.share > 0
        ]
        if not offered:  # better any replica than none
            offered = [revision for revision in self.revisions.values() if revision.replicas]
        shares = [revision.share or 1.0 for revision in offered]
        numbers = [revision.number for revision in offered]
        if shares != self._shares or numbers != [revision.number for revision in self._offered]:
            self._credits = [0.0] * len(shares)
        self._offered, self._shares = offered, shares

    def replicas(self) -> Iterator[Replica]:
        return (replica for revision in self.revisions.values() for replica in revision.replicas)

    # --- choosing

    @property
    def has_targets(self) -> bool:
        return bool(self._offered)

    @property
    def holds_none(self) -> bool:
        """No replica is there, and none is to be waited for: so the controller says that a service is paused."""
        return not self._offered and not self.route.hold_s

    def take(self, asker: Asker) -> Replica | None:
        """A replica that may have the request now, counted as taken; None if it must wait. O(replicas)."""
        if not self._offered:
            return None
        revision = self.revisions.get(self._pin(asker))
        if revision is None or (revision.waiting and not asker.queued):
            return None  # others have waited longer
        return self._take_of(revision, asker)

    def _take_of(self, revision: Revision, asker: Asker) -> Replica | None:
        now_s = self.clock()
        free, broken = _free(revision.replicas, asker.avoided, now_s)
        if not free and broken == len(revision.replicas):
            others = [
                replica for other in self._offered if other is not revision for replica in other.replicas
            ]
            free, _ = _free(others, asker.avoided, now_s)
        if not free:
            return None
        turn = next(self._turns)
        replica = free[0] if len(free) == 1 else free[self.balance(free, turn, asker.affinity)]
        replica.taken()
        return replica

    def take_other(self, asker: Asker, than: Replica) -> Replica | None:
        """A second replica for a request that has one already, if one is free; of the same revision."""
        revision = self.revisions.get(self._pin(asker))
        others = [replica for replica in revision.replicas if replica is not than] if revision else []
        free, _ = _free(others, asker.avoided, self.clock())
        if not free:
            return None
        replica = free[self.balance(free, next(self._turns), None)]
        replica.taken()
        return replica

    def _pin(self, asker: Asker) -> int:
        pinned = asker.pinned
        if pinned is None or pinned not in self.revisions or not self.revisions[pinned].replicas:
            pinned = asker.pinned = self._offered[self._by_share(asker.session)].number
        return pinned

    def _by_share(self, session: int | None) -> int:
        if len(self._offered) == 1:
            return 0
        if session is not None:
            return sticky(session, self._shares)
        chosen, self._credits = smooth(self._credits, self._shares)
        return chosen

    def release(self, replica: Replica) -> None:
        """A request is over there: the next that waits may have its place."""
        replica.in_flight -= 1
        if self.stats.waiting:
            self.pump()

    # --- waiting

    def wait(self, asker: Asker) -> bool:
        """Queue it; False if the queue is full. One that was queued before keeps its place."""
        if self.stats.waiting >= self._part.of(self.route.queue_max):
            return False
        if asker.sequence < 0:
            asker.sequence = next(self._sequence)
        asker.queued = True
        self.stats.waiting += 1
        self._enqueue(asker)
        return True

    def leave(self, asker: Asker) -> None:
        """It waits no longer. O(waiting)."""
        if not asker.queued:
            return
        asker.queued = False
        self.stats.waiting -= 1
        revision = self.revisions.get(asker.pinned) if asker.pinned is not None else None
        queue = revision.waiting if revision and asker in revision.waiting else self.held
        queue.remove(asker)

    def pump(self) -> None:
        """Serve whoever can be served, each revision's in their order."""
        if self.held and self._offered:
            held, self.held = self.held, deque()
            for asker in held:
                self._enqueue(asker)
        for revision in list(self.revisions.values()):
            self._pump(revision)

    def _pump(self, revision: Revision) -> None:
        waiting = revision.waiting
        while waiting:
            asker = waiting[0]
            replica = self._take_of(revision, asker)
            if replica is None:
                return
            waiting.popleft()
            asker.queued = False
            self.stats.waiting -= 1
            asker.served(replica)

    def _enqueue(self, asker: Asker) -> None:
        if not self._offered:
            self.held.append(asker)
            return
        waiting = self.revisions[self._pin(asker)].waiting
        if waiting and waiting[-1].sequence > asker.sequence:  # it had a replica, lost it, and waits again
            later = [waiting.pop()]
            while waiting and waiting[-1].sequence > asker.sequence:
                later.append(waiting.pop())
            waiting.append(asker)
            waiting.extend(reversed(later))
        else:
            waiting.append(asker)

    def _drain(self) -> list[Asker]:
        """All that wait, in the order in which they came."""
        queues = [self.held, *(revision.waiting for revision in self.revisions.values())]
        waiting = [asker for queue in queues for asker in queue]
        self.held = deque()
        return sorted(waiting, key=lambda asker: asker.sequence)

    def close(self) -> list[Asker]:
        """The service is no more: its replicas are let go, and those that waited are returned."""
        self.gone = True
        waiting = self._drain()
        self.stats.waiting = 0
        for asker in waiting:
            asker.queued = False
        self._retire(self.replicas())
        self.revisions = {}
        self._offered = []
        return waiting

    # --- what goes on

    def in_flight(self) -> dict[str, int]:
        """Requests at each replica, those that are no more in the routes among them."""
        at_work = {replica.label: replica.in_flight for replica in self.retired if replica.in_flight}
        for replica in self.replicas():
            if replica.in_flight:
                at_work[replica.label] = replica.in_flight
        return at_work

    def sweep(self, now_s: float) -> None:
        self.retired = [replica for replica in self.retired if replica.in_flight]
        for replica in self.replicas():
            replica.sweep(now_s)


def affinity_hash(text: bytes) -> int:
    """The same in every worker, at every start."""
    return mixed(crc32(text) | len(text) << 32)


def _place(target: Target) -> tuple[str, int, str, int, str]:
    return target.key, target.attempt, target.host, target.port, target.token


def _name_hash(target: Target) -> int:
    return affinity_hash(target.key.encode())


def _free(replicas: list[Replica], avoided: tuple[Replica, ...], now_s: float) -> tuple[list[Replica], int]:
    """Those that may take a request now, and how many others are out of reach and not merely busy.

    Who answers with failures is left out as well, unless more than half do: then it is the revision that fails, or what
    is asked of it, and its failures are to be seen.
    """
    free: list[Replica] = []
    faulty: list[Replica] = []
    broken = 0
    for replica in replicas:
        if (replica.reach.failures and not replica.reach.passes(now_s)) or replica in avoided:
            broken += 1
        elif replica.health.failures and not replica.health.passes(now_s):
            faulty.append(replica)
        elif has_room(replica):
            free.append(replica)
    if 2 * len(faulty) > len(replicas) - broken:
        free += [replica for replica in faulty if has_room(replica)]
    return free, broken
