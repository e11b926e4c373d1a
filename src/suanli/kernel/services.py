"""`tend`: what a service's record and its replicas should become. Pure: from what is seen to events.

Beside the step, which places replicas like any other work: how many there are, of which revision, who gets the traffic.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from suanli.domain import events as ev
from suanli.domain.record import Record, Status, key_of
from suanli.domain.service import Phase, ServiceRecord
from suanli.domain.service_transition import apply_to_service
from suanli.domain.traffic import Demand, Window
from suanli.domain.workload import Update, Workload
from suanli.kernel.scaling import scaled
from suanli.policies.autoscale.delays import Wish
from suanli.policies.verdict import verdict

PATIENCE_WINDOWS = 3.0
"""A step with less traffic than asked for is watched that many windows, then taken as good."""

FAILURES_MAX = 3
"""A new revision of which one replica has failed so many times is taken back."""

ACTOR = "controller"


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a service: its records of replicas, `windows` of traffic by revision since the step began,
    how many replicas are wanted where that is known, what has been measured `against` the model of its target, and the
    nodes that are being emptied."""

    replicas: tuple[Record, ...] = ()
    windows: Mapping[int, Window] = msgspec.field(default_factory=dict[int, Window])
    demand: Demand = Demand()
    wish: Wish | None = None
    against: str = ""
    draining: frozenset[str] = frozenset()


def tend(service: ServiceRecord, sight: Sight, now_s: float) -> tuple[ev.Event, ...]:
    """What must happen now, in order. O(replicas). The world may be written down between any two calls: no replica is
    made or ended twice."""
    events: list[ev.Event] = []
    for change in (_scale, _update):
        event = change(service, sight, now_s)
        if event is not None:
            events.append(event)
            service = apply_to_service(service, ev.Entry(seq=0, at_s=now_s, actor=ACTOR, event=event))
    return (*events, *_replicas(service, sight))


def is_ready(record: Record) -> bool:
    """Whether requests may be sent to it."""
    return (
        record.status is Status.RUNNING and record.attempt is not None and record.attempt.ready_s is not None
    )


def shares_now(service: ServiceRecord, able: Mapping[int, int]) -> dict[int, float]:
    """Traffic by revision, of those of which `able` replicas can answer: by the shares in force, and where these name
    none of them evenly by replica. They add up to 1, unless nobody can."""
    shares = {number: service.shares.get(number, 0.0) for number, count in able.items() if count}
    if not any(shares.values()):
        shares = {number: float(able[number]) for number in shares}
    total = sum(shares.values())
    return {number: share / total for number, share in shares.items()}


def stands(record: Record) -> bool:
    """Whether it counts among those that there are: one that failed for good is not tried again and again."""
    return record.status is Status.FAILED or _lives(record)


def _lives(record: Record) -> bool:
    return not record.status.is_final and not record.stop_requested


def replicas_of(name: str, records: Mapping[str, Record]) -> list[Record]:
    """All records of a service's replicas, ended ones too. O(replicas): their numbers leave no gaps."""
    found: list[Record] = []
    while (record := records.get(key_of(name, len(found)))) is not None:
        found.append(record)
    return found


def beginning(workload: Workload, records: Mapping[str, Record]) -> tuple[tuple[str, int | None], ...]:
    """(key, replica) of every record that a workload begins with: itself, or of a service as many replicas as its first
    revision starts with at once, or as another revision does beside those that are there."""
    if workload.service is None:
        return ((workload.name, None),)
    there = replicas_of(workload.name, records)
    count = workload.service.replicas_min
    if any(_lives(record) for record in there):
        count = _first_step(workload.service.update, count)
    numbers = _free_numbers(there)
    return tuple((key_of(workload.name, n), n) for n in itertools.islice(numbers, count))


def _first_step(update: Update, replicas: int) -> int:
    """How many new replicas an update begins with."""
    if update.strategy == "rolling":
        return min(replicas, max(1, update.surge))
    return _for_share(_steps(update)[0], replicas)


def _scale(service: ServiceRecord, sight: Sight, now_s: float) -> ev.Scaled | None:
    return scaled(service, sight.demand, sight.wish, now_s)


def _update(service: ServiceRecord, sight: Sight, now_s: float) -> ev.ServiceEvent | None:
    if service.phase is not Phase.UPDATING:
        return None
    update = service.service.update
    if service.settled and service.settled != service.target:
        why = _broken(service, sight, now_s) if update.auto_rollback else ""
        if why:
            return ev.TakenBack(service=service.name, number=service.target, to=service.settled, why=why)
        if update.strategy != "rolling":
            return _next_step(service, sight, now_s)
    old = [r for r in sight.replicas if r.revision != service.target and not r.status.is_final]
    if _ready(service, sight) >= service.replicas and not old:
        return ev.Settled(service=service.name, number=service.target)
    return None


def _next_step(service: ServiceRecord, sight: Sight, now_s: float) -> ev.ServiceEvent | None:
    """The next share of traffic, once there are replicas for it and the last one has been watched."""
    update, step = service.service.update, service.step
    steps = _steps(update)
    if step and not _watched(service, sight, update, now_s):
        return None
    if step == len(steps):
        return ev.Settled(service=service.name, number=service.target)
    share = steps[step]
    if _ready(service, sight) < _for_share(share, service.replicas):
        return None
    shares = {service.settled: 1.0 - share, service.target: share} if share < 1.0 else {service.target: 1.0}
    return ev.Shifted(service=service.name, step=step + 1, shares=shares)


def _watched(service: ServiceRecord, sight: Sight, update: Update, now_s: float) -> bool:
    if not sight.demand.known:
        return False
    seen_s = now_s - service.step_s
    enough = sight.windows.get(service.target, Window()).requests >= update.requests_min
    return seen_s >= update.window_s * (1.0 if enough else PATIENCE_WINDOWS)


def _broken(service: ServiceRecord, sight: Sight, now_s: float) -> str:
    """Why the target revision must not go on taking over; empty where nothing speaks against it."""
    update = service.service.update
    for record in _of(service.target, sight.replicas):
        if record.status is Status.FAILED or record.failures >= FAILURES_MAX:
            detail = f": {record.end_detail}" if record.end_detail else ""
            return f"{record.key} failed {record.failures} times{detail}"
        started_s = record.attempt.started_s if record.attempt else None
        if started_s is not None and not is_ready(record) and now_s - started_s >= update.ready_s:
            return f"{record.key} was not ready within {update.ready_s:g} s"
    target = service.revision(service.target)
    if (
        target is not None and target.origin
    ):  # somebody went back to it: it is not to be undone by what it leaves
        return ""
    if sight.against:
        return sight.against
    new, old = (sight.windows.get(n, Window()) for n in (service.target, service.settled))
    return verdict(new, old, service.service.slo, update)


def _replicas(service: ServiceRecord, sight: Sight) -> Iterator[ev.Event]:
    """Replicas to add and to end."""
    numbers = _free_numbers(sight.replicas)
    wanted = _wanted(service, sight)
    for number in sorted({r.revision for r in sight.replicas} | wanted.keys()):
        mine = [r for r in _of(number, sight.replicas) if stands(r)]
        want = wanted.get(number, 0)
        stay = [r for r in mine if not _leaves(r, sight.draining)]
        leave = [r for r in mine if _leaves(r, sight.draining)]
        revision = service.revision(number)
        for _ in range(want - len(stay) if revision else 0):
            assert revision is not None
            replica = next(numbers)
            yield ev.Submitted(
                key=key_of(service.name, replica),
                workload=revision.workload,
                replica=replica,
                revision=number,
            )
        # what leaves is needed until another stands in for it
        needed = max(0, want - sum(map(is_ready, stay)))
        ended = [
            *_first_to_end(leave)[: max(0, len(leave) - needed)],
            *_first_to_end(stay)[: max(0, len(stay) - want)],
        ]
        for record in ended:
            if not record.status.is_final:
                yield ev.StopRequested(key=record.key)


def _wanted(service: ServiceRecord, sight: Sight) -> dict[int, int]:
    """Replicas by revision; none of those that are not named."""
    target, settled, replicas = service.target, service.settled, service.replicas
    if not service.serves:
        return {}
    old = [r for r in sight.replicas if r.revision != target and _lives(r)]
    mine = [r for r in _of(target, sight.replicas) if stands(r)]
    if service.phase is Phase.STEADY or target == settled or not old:
        return {target: replicas}
    update = service.service.update
    if update.strategy == "rolling":
        # what is on its way out still holds its room
        there = sum(not r.status.is_final for r in sight.replicas if r.revision != target)
        new = min(replicas, max(0, replicas + update.surge - there))
        keep = max(0, replicas - update.unavailable - _ready(service, sight))
        return {target: max(new, min(replicas, len(mine))), **_spread(keep, old, settled)}
    steps, step = _steps(update), service.step
    new = _for_share(steps[min(step, len(steps) - 1)], replicas)
    rest = 1.0 - (steps[step - 1] if step else 0.0)
    before = 1.0 - (steps[step - 2] if step > 1 else 0.0)
    # at the last step what served before is still at hand, until that step has been watched, too
    return {target: new, settled: min(_for_share(rest or before, replicas), len(_of(settled, old)))}


def _spread(keep: int, old: Sequence[Record], settled: int) -> dict[int, int]:
    """So many of the old ones, those that are ready and of the settled revision first."""
    ranked = sorted(old, key=lambda r: (not is_ready(r), r.revision != settled, -r.revision, r.seq))
    wanted: dict[int, int] = {}
    for record in ranked[:keep]:
        wanted[record.revision] = wanted.get(record.revision, 0) + 1
    return wanted


def _first_to_end(records: Sequence[Record]) -> list[Record]:
    """Those that serve least first: not placed, not ready, then the youngest."""
    return sorted(records, key=lambda r: (r.status.is_live, is_ready(r), -r.seq))


def _leaves(record: Record, draining: frozenset[str]) -> bool:
    return record.attempt is not None and any(p.node in draining for p in record.attempt.placements)


def _of(revision: int, replicas: Iterable[Record]) -> list[Record]:
    return [record for record in replicas if record.revision == revision]


def _ready(service: ServiceRecord, sight: Sight) -> int:
    return sum(is_ready(r) for r in _of(service.target, sight.replicas) if not r.stop_requested)


def _steps(update: Update) -> tuple[float, ...]:
    return update.steps if update.strategy == "canary" else (1.0,)


def _for_share(share: float, replicas: int) -> int:
    """Replicas that carry that share of the traffic."""
    return max(1, math.ceil(share * replicas - 1e-9)) if replicas else 0


def _free_numbers(replicas: Iterable[Record]) -> Iterator[int]:
    """Numbers of replicas that nobody bears, from 0."""
    taken = {r.replica for r in replicas if not r.status.is_final or r.status is Status.FAILED}
    number = 0
    while True:
        if number not in taken:
            yield number
        number += 1
