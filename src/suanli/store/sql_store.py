"""`ports.store.Store` on a database. Each method is one transaction."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory
from suanli.domain.world import World
from suanli.ports.commit_rules import require_digest, require_epoch, require_seq
from suanli.ports.store import DECISIONS_KEPT, IDEMPOTENCY_KEPT_S, Commit, Idempotency, Lease, Token
from suanli.store import codec, projection, sql
from suanli.store.database import Database
from suanli.store.model_index import SqlModelIndex

DECISIONS_KEPT_BYTES = 256 * 2**20
"""With ten thousand workloads waiting a decision is some 300 KB: this bounds the file where their number does not."""


class SqlStore:
    """State in SQLite (`sqlite:////path/to/file`) or PostgreSQL (`postgresql://…`); safe for threads and processes.

    An acknowledged commit is on disk, also when the power fails. Where PostgreSQL's connection breaks during a
    commit, `Unavailable` may hide one that was written: send it again with its idempotency key, or read first.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 5.0) -> None:
        """Open or create, and bring the schema up to date. Raises UsageError, Unavailable."""
        self._database = Database(url, busy_timeout_s)
        self._writers = threading.Lock()  # threads queue here, fairly; SQLite's own waiting is a blind poll
        self._readers = threading.Lock()
        self._world: World | None = None
        self.models = SqlModelIndex(self._database, self._writing)

    def acquire_lease(self, holder: str, now_s: float, ttl_s: float) -> Lease | None:
        with self._writing() as (connection, _):
            taken = sql.take_lease(connection, holder, now_s, now_s + ttl_s)
            return sql.select_lease(connection) if taken else None

    def renew_lease(self, lease: Lease, now_s: float, ttl_s: float) -> Lease:
        with self._writing() as (connection, _):
            require_epoch(sql.select_lease(connection), lease.epoch)
            sql.extend_lease(connection, lease.epoch, now_s + ttl_s)
        return Lease(holder=lease.holder, epoch=lease.epoch, expires_s=now_s + ttl_s)

    def release_lease(self, lease: Lease) -> None:
        with self._writing() as (connection, _):
            sql.clear_lease(connection, lease.epoch)

    def lease(self) -> Lease | None:
        with self._database.reading() as connection:
            return sql.select_lease(connection)

    def commit(self, commit: Commit) -> tuple[ev.Entry, ...]:
        with self._writing() as (connection, head_seq):
            if commit.epoch is not None:
                require_epoch(sql.select_lease(connection), commit.epoch)
            if commit.idempotency is not None:
                answer = _answer(connection, commit.idempotency, commit.at_s)
                if answer is not None:
                    return answer
            require_seq(head_seq, commit.if_seq)
            entries = projection.append(connection, commit, head_seq)
            _record_decision(connection, commit)
            if commit.idempotency is not None:
                _remember(connection, commit.idempotency, commit.at_s, head_seq, len(entries))
            return entries

    def world(self) -> World:
        """O(changes since the last call) to read, O(workloads) to copy."""
        with self._readers, self._database.reading() as connection:
            self._world = projection.current(connection, self._world)
            return self._world.copy()

    def entries(self, after_seq: int, limit: int = 10_000) -> Sequence[ev.Entry]:
        with self._database.reading() as connection:
            return projection.entries(connection, after_seq, limit)

    def memory(self) -> Memory:
        with self._database.reading() as connection:
            body = sql.select_memory(connection)
        return Memory() if body is None else codec.MEMORY.decode(body)

    def decisions(self, limit: int = 1_000) -> Sequence[Decision]:
        with self._database.reading() as connection:
            bodies = sql.select_decisions(connection, limit)
        return [codec.DECISION.decode(body) for body in bodies]

    def save_document(self, kind: str, name: str, body: bytes, at_s: float) -> None:
        with self._writing() as (connection, _):
            sql.save_document(connection, kind, name, body, at_s)

    def document(self, kind: str, name: str) -> bytes | None:
        with self._database.reading() as connection:
            return sql.select_document(connection, kind, name)

    def documents(self, kind: str, since_s: float = 0.0) -> dict[str, bytes]:
        with self._database.reading() as connection:
            found = sql.select_documents(connection, kind, since_s)
        return dict(sorted(found.items()))  # databases sort text by their own lights

    def drop_documents(self, kind: str, before_s: float) -> None:
        with self._writing() as (connection, _):
            sql.delete_documents(connection, kind, before_s)

    def add_token(self, token: Token) -> None:
        with self._writing() as (connection, _):
            sql.save_token(connection, token, codec.to_text(token.scopes, codec.TEXTS))

    def tokens(self) -> Sequence[Token]:
        with self._database.reading() as connection:
            rows = sql.select_tokens(connection)
        return [
            Token(
                name=row.name,
                digest=row.digest,
                created_s=row.created_s,
                scopes=codec.TEXTS.decode(row.scopes),
            )
            for row in rows
        ]

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[tuple[sa.Connection, int]]:
        """A transaction that no other writer overlaps, and the number of the last entry before it."""
        with self._writers, self._database.writing() as connection:
            yield connection, sql.lock_head(connection)


def _answer(connection: sa.Connection, asked: Idempotency, now_s: float) -> tuple[ev.Entry, ...] | None:
    """What the first commit under that key returned, while it is remembered."""
    known = sql.select_answer(connection, asked.key, now_s - IDEMPOTENCY_KEPT_S)
    if known is None:
        return None
    require_digest(asked.key, known.digest, asked.digest)
    return projection.entries(connection, known.after_seq, known.entry_count)


def _remember(
    connection: sa.Connection, asked: Idempotency, now_s: float, after_seq: int, entry_count: int
) -> None:
    row = {
        "key": asked.key,
        "digest": asked.digest,
        "at_s": now_s,
        "after_seq": after_seq,
        "entry_count": entry_count,
    }
    sql.save_answer(connection, row, now_s - IDEMPOTENCY_KEPT_S)


def _record_decision(connection: sa.Connection, commit: Commit) -> None:
    if commit.decision is not None:
        body = codec.to_text(commit.decision, codec.DECISION)
        sql.append_decision(connection, commit.decision.at_s, body, DECISIONS_KEPT, DECISIONS_KEPT_BYTES)
    if commit.memory is not None:
        sql.save_memory(connection, codec.to_text(commit.memory, codec.MEMORY))
