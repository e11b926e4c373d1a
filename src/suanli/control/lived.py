"""What has really happened, as the outcome of a simulation is told: so that both are measured and drawn alike."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from suanli.domain import events as ev
from suanli.domain.decision import Decision
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record, Status
from suanli.domain.world import World
from suanli.sim.chronicle import Chronicle, stays_so_far
from suanli.sim.outcome import Outcome


def outcome_of_log(
    entries: Sequence[ev.Entry],
    decisions: Sequence[Decision],
    fleet: Fleet,
    work: Mapping[str, float],
    *,
    name: str,
    seed: int,
    from_s: float,
    to_s: float,
) -> Outcome:
    """Fold the log. O(entries + placements). `work` is what each workload truly has to do, by key."""
    world, chronicle = World(), Chronicle()
    standing = dict.fromkeys(Status, 0)
    for entry in entries:
        before = _record(world, entry)
        world.fold(entry)
        after = _record(world, entry)
        if before is not None:
            standing[before.status] -= 1
        if after is not None:
            standing[after.status] += 1
            _write_down(chronicle, entry, before, after)
        live = sum(count for status, count in standing.items() if status.is_live)
        chronicle.level(entry.at_s, standing[Status.WAITING], live)
    for decision in decisions:
        chronicle.decided(decision.at_s, decision.actions)
    records = sorted(world.records.values(), key=lambda record: record.seq)
    return Outcome(
        policy=world.policy,
        trace=name,
        seed=seed,
        oracle=False,
        fleet=fleet,
        records=tuple(records),
        work=dict(work),
        stays=stays_so_far(chronicle.stays, (r for r in records if r.attempt is not None), to_s),
        levels=tuple(chronicle.levels),
        from_s=from_s,
        to_s=to_s,
        steps=len(decisions),
        policy_cpu_s=0.0,
        decisions_hash=chronicle.decisions_hash,
        is_whole=all(record.status.is_final for record in records),
    )


def counted_from(entries: Iterable[ev.Entry], origin_s: float) -> Iterator[ev.Entry]:
    """The log with all its instants counted from `origin_s`, as those of a simulation are from its beginning."""
    for entry in entries:
        yield msgspec.structs.replace(
            entry, at_s=entry.at_s - origin_s, event=_event_from(entry.event, origin_s)
        )


def _record(world: World, entry: ev.Entry) -> Record | None:
    return world.records.get(getattr(entry.event, "key", ""))


def _write_down(chronicle: Chronicle, entry: ev.Entry, before: Record | None, after: Record) -> None:
    if isinstance(entry.event, ev.Placed) and after.attempt is not None:
        chronicle.placed(after.attempt)
    elif isinstance(entry.event, ev.Ended) and before is not None and before.attempt is not None:
        chronicle.ended(before, before.attempt, entry.at_s, entry.event.cause.value)


def _event_from(event: ev.Event, origin_s: float) -> ev.Event:
    if isinstance(event, ev.Checkpointed) and event.saved_s is not None:
        return msgspec.structs.replace(event, saved_s=event.saved_s - origin_s)
    if isinstance(event, ev.Submitted):
        workload = event.workload
        instants = {
            name: at_s - origin_s
            for name in ("deadline_s", "not_before_s")
            if (at_s := getattr(workload, name)) is not None
        }
        return msgspec.structs.replace(event, workload=msgspec.structs.replace(workload, **instants))
    return event
