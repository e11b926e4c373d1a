"""The database itself: its file, its settings, its schema, and the log that cannot be rewritten."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event

import suanli.store.sql_store
from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory
from suanli.domain.errors import Unavailable, UsageError
from suanli.domain.reasons import ReasonCode, reason
from suanli.ports.store import Commit, Idempotency, Token
from suanli.store import SqlStore, sql
from suanli.store.schema import MIGRATIONS, SCHEMA_VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "suanli.db"


def commit(*events: ev.Event, **fields: Any) -> Commit:
    return Commit(events=events, actor="ada", at_s=1.0, **fields)


def test_folder_and_files_are_their_owners_alone(path: Path):
    store = SqlStore(f"sqlite:///{path}")
    store.commit(commit(ev.PolicyChosen(policy="fifo")))
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"suanli.db", "suanli.db-wal", "suanli.db-shm", "suanli.db.lock"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path: Path):
    SqlStore(f"sqlite:///{path}").close()
    path.chmod(0o644)
    SqlStore(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_commit_is_synced_to_a_write_ahead_log(path: Path):
    statements: list[str] = []
    with _watching(statements.append):
        store = SqlStore(f"sqlite:///{path}")
    store.close()
    assert "PRAGMA synchronous = FULL" in statements
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_was_written_is_there_after_reopening(path: Path):
    store = SqlStore(f"sqlite:///{path}")
    lease = store.acquire_lease("a", 0.0, 10.0)
    key = Idempotency(key="k", digest="d")
    entries = store.commit(commit(ev.NodeCordoned(node="n"), idempotency=key))
    store.save_document("plan", "p", b"{}", 1.0)
    store.add_token(Token(name="t", digest="d", created_s=1.0))
    world = store.world()
    store.close()
    again = SqlStore(f"sqlite:///{path}")
    assert again.world() == world
    assert again.lease() == lease
    assert again.commit(commit(ev.NodeCordoned(node="n"), idempotency=key)) == entries
    assert again.document("plan", "p") == b"{}"
    assert [token.name for token in again.tokens()] == ["t"]


def test_two_stores_on_one_file_see_each_others_commits(path: Path):
    one, other = SqlStore(f"sqlite:///{path}"), SqlStore(f"sqlite:///{path}")
    for name in ("a", "b", "c"):
        one.commit(commit(ev.PolicyChosen(policy=name)))
        assert other.world().policy == name
        other.commit(commit(ev.NodeCordoned(node=name)))
        assert one.world() == other.world()


@pytest.mark.parametrize("statement", ["UPDATE entries SET actor = 'eve'", "DELETE FROM entries"])
def test_the_log_refuses_to_be_rewritten(path: Path, statement: str):
    store = SqlStore(f"sqlite:///{path}")
    store.commit(commit(ev.PolicyChosen(policy="fifo")))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sqlite3.connect(path).execute(statement)
    assert len(store.entries(0)) == 1


def test_decisions_are_bounded_in_number_and_in_bytes(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(suanli.store.sql_store, "DECISIONS_KEPT", 5)
    store = SqlStore(f"sqlite:///{path}")
    for index in range(8):
        store.commit(commit(decision=Decision(policy="p", at_s=float(index))))
    assert [decision.at_s for decision in store.decisions()] == [3.0, 4.0, 5.0, 6.0, 7.0]
    monkeypatch.setattr(suanli.store.sql_store, "DECISIONS_KEPT_BYTES", 10_000)
    for index in range(8, 11):
        store.commit(commit(decision=Decision(policy="p", at_s=float(index), note="x" * 6_000)))
    assert [decision.at_s for decision in store.decisions()] == [9.0, 10.0]


@pytest.mark.parametrize(
    "unreadable",
    [
        ev.PolicyChosen(policy="\ud800"),
        ev.NodeCordoned(node="n", drain=float("nan")),  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_could_not_be_read_again_is_not_written(path: Path, unreadable: ev.Event):
    store = SqlStore(f"sqlite:///{path}")
    with pytest.raises(UsageError) as refused:
        store.commit(commit(ev.PolicyChosen(policy="fifo"), unreadable))
    assert refused.value.remedy
    with pytest.raises(UsageError):
        store.commit(commit(decision=Decision(policy="p", at_s=float("inf"))))
    assert store.world().seq == 0


def test_numbers_of_numpy_are_stored_as_plain_ones(path: Path):
    store = SqlStore(f"sqlite:///{path}")
    asked, at_s, half = np.array([3])[0], np.array([1.5], np.float32)[0], np.float64(0.5)
    evidence = reason(ReasonCode.RESOURCES_BUSY, "cpus", asked=asked, free=half)
    store.commit(commit(memory=Memory(short_since_s=half)))
    store.commit(commit(decision=Decision(policy="p", at_s=at_s, reasons=(evidence,))))
    assert type(store.memory().short_since_s) is float
    assert store.decisions()[0].reasons[0].evidence == {"asked": 3, "free": 0.5}


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://host/db", "nosuch://host/db"]
)
def test_a_url_that_names_no_usable_database_is_told_with_a_remedy(url: str):
    with pytest.raises(UsageError) as refused:
        SqlStore(url)
    assert "sqlite:///" in refused.value.remedy


def test_a_password_is_in_no_message():
    with pytest.raises(Unavailable) as refused:
        SqlStore("postgresql://suanli:hunter2@127.0.0.1:1/suanli")
    assert "hunter2" not in f"{refused.value.sentence} {refused.value.remedy} {refused.value.evidence}"


def test_the_migrations_make_exactly_the_tables_that_the_statements_use(path: Path):
    SqlStore(f"sqlite:///{path}").close()
    assert ScriptDirectory(MIGRATIONS).get_current_head() == SCHEMA_VERSION
    with sa.create_engine(f"sqlite:///{path}").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, sql.tables) == []


def test_a_database_of_a_newer_version_is_left_alone(path: Path):
    SqlStore(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unavailable, match="newer") as refused:
        SqlStore(f"sqlite:///{path}")
    assert refused.value.evidence["schema"] == "9999"
    assert refused.value.remedy


@contextmanager
def _watching(note: Any) -> Iterator[None]:
    """Report every statement that a connection opened meanwhile executes, those of its set-up too."""

    def trace(connection: Any, _record: Any) -> None:
        connection.set_trace_callback(note)

    event.listen(sa.Engine, "connect", trace)
    try:
        yield
    finally:
        event.remove(sa.Engine, "connect", trace)
