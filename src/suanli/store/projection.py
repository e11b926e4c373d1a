"""The log and its projection as domain values: how a commit's events enter, and how the world is read."""

import sqlalchemy as sa

from suanli.domain import events as ev
from suanli.domain.record import Record
from suanli.domain.service import ServiceRecord
from suanli.domain.world import World
from suanli.ports.commit_rules import fold_commit, service_names, workload_keys
from suanli.ports.store import Commit
from suanli.store import codec, sql

_SERVICE = "service/"
"""Before the names of services, among the rows of the fleet's state."""

_CATCH_UP_MAX = 10_000
"""Further behind than this, reading the projection anew is cheaper than folding entries."""


def append(connection: sa.Connection, commit: Commit, head_seq: int) -> tuple[ev.Entry, ...]:
    """Write the commit's entries and what they change. O(events). Raises IllegalTransition."""
    if not commit.events:
        return ()
    bodies = sql.select_records(connection, workload_keys(commit.events))
    before = {key: codec.RECORD.decode(body) for key, body in bodies.items()}
    draft = World(
        seq=head_seq,
        records=dict(before),
        cordoned=_cordoned(connection, commit.events),
        services=_services(connection, commit.events),
    )
    entries = fold_commit(draft, commit)
    _write_entries(connection, entries)
    _write_records(connection, before, draft.records, entries)
    _write_fleet_state(connection, draft, commit.events)
    return entries


def entries(connection: sa.Connection, after_seq: int, limit: int) -> tuple[ev.Entry, ...]:
    return tuple(
        ev.Entry(seq=row.seq, at_s=row.at_s, actor=row.actor, event=codec.EVENT.decode(row.event))
        for row in sql.select_entries(connection, after_seq, limit)
    )


def current(connection: sa.Connection, known: World | None) -> World:
    """The world as of this snapshot: `known` brought up to date in place, or read anew."""
    head_seq = sql.head_seq(connection)
    if known is None or head_seq - known.seq > _CATCH_UP_MAX:
        return _read(connection, head_seq)
    if head_seq > known.seq:
        for entry in entries(connection, known.seq, _CATCH_UP_MAX):
            known.fold(entry)
    return known


def _read(connection: sa.Connection, head_seq: int) -> World:
    world = World(seq=head_seq)
    world.records = {key: codec.RECORD.decode(body) for key, body in sql.select_all_records(connection)}
    state = sql.select_fleet_state(connection)
    if "fleet" in state:
        world.fleet = codec.FLEET.decode(state["fleet"])
    if "policy" in state:
        world.policy = codec.TEXT.decode(state["policy"])
    if "cordoned" in state:
        world.cordoned = codec.CORDONED.decode(state["cordoned"])
    for name, body in state.items():
        if name.startswith(_SERVICE):
            world.services[name.removeprefix(_SERVICE)] = codec.SERVICE.decode(body)
    return world


def _cordoned(connection: sa.Connection, events: tuple[ev.Event, ...]) -> dict[str, bool]:
    if not any(isinstance(event, ev.NodeCordoned | ev.NodeUncordoned) for event in events):
        return {}
    body = sql.select_fleet_state(connection).get("cordoned")
    return {} if body is None else codec.CORDONED.decode(body)


def _services(connection: sa.Connection, events: tuple[ev.Event, ...]) -> dict[str, ServiceRecord]:
    names = service_names(events)
    bodies = sql.select_fleet_state(connection) if names else {}
    return {
        name: codec.SERVICE.decode(bodies[_SERVICE + name]) for name in names if _SERVICE + name in bodies
    }


def _write_entries(connection: sa.Connection, entries: tuple[ev.Entry, ...]) -> None:
    rows = [
        {
            "seq": entry.seq,
            "at_s": entry.at_s,
            "actor": entry.actor,
            "event": codec.to_text(entry.event, codec.EVENT),
        }
        for entry in entries
    ]
    sql.append_entries(connection, rows, entries[-1].seq)


def _write_records(
    connection: sa.Connection,
    before: dict[str, Record],
    after: dict[str, Record],
    entries: tuple[ev.Entry, ...],
) -> None:
    seqs: dict[str, list[int]] = {}
    for entry in entries:
        if isinstance(entry.event, ev.WorkloadEvent):
            seqs.setdefault(entry.event.key, []).append(entry.seq)
    new: list[sql.Row] = []
    changed: list[sql.Row] = []
    for key, record in after.items():
        body = codec.to_text(record, codec.RECORD)
        row = {"last_seq": seqs[key][-1], "status": record.status.value, "body": body}
        if key in before:
            changed.append({"of_key": key, **row})
        else:
            new.append({"key": key, "first_seq": seqs[key][0], **row})
    sql.update_records(connection, changed)
    sql.insert_records(connection, new)


def _write_fleet_state(connection: sa.Connection, draft: World, events: tuple[ev.Event, ...]) -> None:
    kinds = {type(event) for event in events}
    if ev.FleetDeclared in kinds:
        sql.save_fleet_state(connection, "fleet", codec.to_text(draft.fleet, codec.FLEET))
    if ev.PolicyChosen in kinds:
        sql.save_fleet_state(connection, "policy", codec.to_text(draft.policy, codec.TEXT))
    if kinds & {ev.NodeCordoned, ev.NodeUncordoned}:
        sql.save_fleet_state(connection, "cordoned", codec.to_text(draft.cordoned, codec.CORDONED))
    for name in service_names(events):
        sql.save_fleet_state(connection, _SERVICE + name, codec.to_text(draft.services[name], codec.SERVICE))
