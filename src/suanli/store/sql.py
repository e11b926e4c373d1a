"""Every table and every statement of the store, and nothing else. The same on SQLite and PostgreSQL.

All functions run inside the caller's transaction. JSON is kept as text, so that a person can read it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from suanli.ports.store import Lease, Token

_KEYS_PER_QUERY = 500

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""64 bits on both; on SQLite only INTEGER makes the primary key the row's own id."""

tables = sa.MetaData()

head = sa.Table(
    "head",
    tables,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", _Number, nullable=False),
)
entries = sa.Table(
    "entries",
    tables,
    sa.Column("seq", _Number, primary_key=True, autoincrement=False),
    sa.Column("at_s", sa.Double, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
)
records = sa.Table(
    "records",
    tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("first_seq", _Number, nullable=False, unique=True),
    sa.Column("last_seq", _Number, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
fleet_state = sa.Table(
    "fleet_state",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
decisions = sa.Table(
    "decisions",
    tables,
    sa.Column("number", _Number, primary_key=True, autoincrement=False),
    sa.Column("at_s", sa.Double, nullable=False),
    sa.Column("written_bytes", _Number, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
)
memory = sa.Table(
    "memory",
    tables,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.Text, nullable=False),
)
idempotency = sa.Table(
    "idempotency",
    tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("at_s", sa.Double, nullable=False, index=True),
    sa.Column("after_seq", _Number, nullable=False),
    sa.Column("entry_count", sa.Integer, nullable=False),
)
lease = sa.Table(
    "lease",
    tables,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.Text, nullable=True),
    sa.Column("epoch", _Number, nullable=False),
    sa.Column("expires_s", sa.Double, nullable=False),
)
documents = sa.Table(
    "documents",
    tables,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at_s", sa.Double, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
tokens = sa.Table(
    "tokens",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("created_s", sa.Double, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
)

Row = dict[str, Any]

# What every commit says is built once: building a statement costs as much as running it.
_HEAD_SEQ = sa.select(head.c.seq)
_HEAD_SEQ_LOCKED = _HEAD_SEQ.with_for_update()
_MOVE_HEAD = sa.update(head).values(seq=sa.bindparam("last_seq"))
_INSERT_ENTRY = sa.insert(entries)
_RECORDS_OF = sa.select(records.c.key, records.c.body).where(
    records.c.key.in_(sa.bindparam("keys", expanding=True))
)
_INSERT_RECORD = sa.insert(records)
_UPDATE_RECORD = sa.update(records).where(records.c.key == sa.bindparam("of_key"))
_LEASE = sa.select(lease)
_ANSWER = sa.select(idempotency).where(
    idempotency.c.key == sa.bindparam("of_key"), idempotency.c.at_s >= sa.bindparam("since_s")
)
_FORGET_ANSWERS = sa.delete(idempotency).where(
    sa.or_(idempotency.c.at_s < sa.bindparam("since_s"), idempotency.c.key == sa.bindparam("of_key"))
)
_INSERT_ANSWER = sa.insert(idempotency)


def lock_head(connection: sa.Connection) -> int:
    """The last entry's number. First statement of every writing transaction: it makes writers queue on PostgreSQL."""
    return connection.execute(_HEAD_SEQ_LOCKED).scalar_one()


def head_seq(connection: sa.Connection) -> int:
    return connection.execute(_HEAD_SEQ).scalar_one()


def append_entries(connection: sa.Connection, rows: Sequence[Row], last_seq: int) -> None:
    connection.execute(_INSERT_ENTRY, rows)
    connection.execute(_MOVE_HEAD, {"last_seq": last_seq})


def select_entries(connection: sa.Connection, after_seq: int, limit: int) -> Sequence[sa.Row[Any]]:
    statement = sa.select(entries).where(entries.c.seq > after_seq).order_by(entries.c.seq).limit(limit)
    return connection.execute(statement).all()


def select_records(connection: sa.Connection, keys: Sequence[str]) -> dict[str, str]:
    """Bodies by key, of those that exist."""
    found: dict[str, str] = {}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        some = keys[start : start + _KEYS_PER_QUERY]
        found.update((row.key, row.body) for row in connection.execute(_RECORDS_OF, {"keys": some}))
    return found


def select_all_records(connection: sa.Connection) -> Iterable[tuple[str, str]]:
    """(key, body) in the order in which the keys were first submitted."""
    statement = sa.select(records.c.key, records.c.body).order_by(records.c.first_seq)
    return ((row.key, row.body) for row in connection.execute(statement))


def insert_records(connection: sa.Connection, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(_INSERT_RECORD, rows)


def update_records(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Rows name their record as `of_key`."""
    if rows:
        connection.execute(_UPDATE_RECORD, rows)


def select_fleet_state(connection: sa.Connection) -> dict[str, str]:
    return {row.name: row.body for row in connection.execute(sa.select(fleet_state))}


def save_fleet_state(connection: sa.Connection, name: str, body: str) -> None:
    _put(connection, fleet_state, {"name": name}, {"body": body})


def select_memory(connection: sa.Connection) -> str | None:
    return connection.execute(sa.select(memory.c.body)).scalar_one_or_none()


def save_memory(connection: sa.Connection, body: str) -> None:
    _put(connection, memory, {"id": 1}, {"body": body})


def append_decision(
    connection: sa.Connection, at_s: float, body: str, kept_max: int, kept_bytes_max: int
) -> None:
    """Add one and drop the oldest beyond either bound; the new one stays.

    `written_bytes` is a running total, so that neither bound needs a count.
    """
    latest = sa.select(decisions.c.number, decisions.c.written_bytes).order_by(decisions.c.number.desc())
    row = connection.execute(latest.limit(1)).one_or_none()
    number, written_bytes = (row.number + 1, row.written_bytes + len(body)) if row else (1, len(body))
    connection.execute(
        sa.insert(decisions), {"number": number, "at_s": at_s, "written_bytes": written_bytes, "body": body}
    )
    beyond = sa.or_(
        decisions.c.number <= number - kept_max, decisions.c.written_bytes <= written_bytes - kept_bytes_max
    )
    connection.execute(sa.delete(decisions).where(beyond))


def select_decisions(connection: sa.Connection, limit: int) -> list[str]:
    """The latest, oldest first."""
    statement = sa.select(decisions.c.body).order_by(decisions.c.number.desc()).limit(limit)
    return list(connection.execute(statement).scalars())[::-1]


def select_answer(connection: sa.Connection, key: str, since_s: float) -> sa.Row[Any] | None:
    """What is remembered of that key, unless it is older than `since_s`."""
    return connection.execute(_ANSWER, {"of_key": key, "since_s": since_s}).one_or_none()


def save_answer(connection: sa.Connection, row: Row, since_s: float) -> None:
    """Remember one, forget those older than `since_s`."""
    connection.execute(_FORGET_ANSWERS, {"of_key": row["key"], "since_s": since_s})
    connection.execute(_INSERT_ANSWER, row)


def select_lease(connection: sa.Connection) -> Lease | None:
    row = connection.execute(_LEASE).one()
    if row.holder is None:
        return None
    return Lease(holder=row.holder, epoch=row.epoch, expires_s=row.expires_s)


def take_lease(connection: sa.Connection, holder: str, now_s: float, expires_s: float) -> bool:
    """A new epoch for `holder`, unless another's lease is still running."""
    free = sa.or_(lease.c.holder.is_(None), lease.c.holder == holder, lease.c.expires_s <= now_s)
    values = {"holder": holder, "epoch": lease.c.epoch + 1, "expires_s": expires_s}
    return connection.execute(sa.update(lease).where(free).values(**values)).rowcount == 1


def extend_lease(connection: sa.Connection, epoch: int, expires_s: float) -> None:
    connection.execute(sa.update(lease).where(lease.c.epoch == epoch).values(expires_s=expires_s))


def clear_lease(connection: sa.Connection, epoch: int) -> None:
    connection.execute(sa.update(lease).where(lease.c.epoch == epoch).values(holder=None))


def save_document(connection: sa.Connection, kind: str, name: str, body: bytes, at_s: float) -> None:
    _put(connection, documents, {"kind": kind, "name": name}, {"body": body, "at_s": at_s})


def select_document(connection: sa.Connection, kind: str, name: str) -> bytes | None:
    statement = sa.select(documents.c.body).where(documents.c.kind == kind, documents.c.name == name)
    return connection.execute(statement).scalar_one_or_none()


def select_documents(connection: sa.Connection, kind: str, since_s: float) -> dict[str, bytes]:
    """Bodies by name."""
    statement = sa.select(documents.c.name, documents.c.body).where(
        documents.c.kind == kind, documents.c.at_s >= since_s
    )
    return {row.name: row.body for row in connection.execute(statement)}


def delete_documents(connection: sa.Connection, kind: str, before_s: float) -> None:
    connection.execute(sa.delete(documents).where(documents.c.kind == kind, documents.c.at_s < before_s))


def save_token(connection: sa.Connection, token: Token, scopes: str) -> None:
    values = {"digest": token.digest, "created_s": token.created_s, "scopes": scopes}
    _put(connection, tokens, {"name": token.name}, values)


def select_tokens(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    return connection.execute(sa.select(tokens).order_by(tokens.c.name)).all()


def _put(connection: sa.Connection, table: sa.Table, key: Row, values: Row) -> None:
    """Update, else insert. Safe because every writer holds the head row (`lock_head`)."""
    where = sa.and_(*(table.c[name] == value for name, value in key.items()))
    if connection.execute(sa.update(table).where(where).values(**values)).rowcount == 0:
        connection.execute(sa.insert(table), key | values)
