"""A database that is locked, full or broken: said in words, with a remedy, and nothing is lost."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from suanli.domain import events as ev
from suanli.domain.errors import Unavailable
from suanli.domain.workload import Kind, Workload
from suanli.domain.world import World
from suanli.ports.store import Commit
from suanli.store import SqlStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "suanli.db"


def submission(name: str, size: int = 1) -> Commit:
    workload = Workload(name=name, kind=Kind.JOB, run=("x" * size,))
    return Commit(events=(ev.Submitted(key=name, workload=workload),), actor="ada", at_s=1.0)


@contextmanager
def refused_with(words: str) -> Iterator[None]:
    with pytest.raises(Unavailable, match=words) as refused:
        yield
    assert refused.value.remedy
    assert refused.value.evidence["database_said"]


def test_a_database_that_another_program_has_locked_is_named_and_works_again_afterwards(path: Path):
    store = SqlStore(f"sqlite:///{path}", busy_timeout_s=0.05)
    store.commit(submission("before"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for write in (
        lambda: store.commit(submission("during")),
        lambda: store.acquire_lease("a", 0.0, 1.0),
        lambda: store.save_document("plan", "p", b"", 0.0),
    ):
        with refused_with("locked by another process"):
            write()
    assert list(store.world().records) == ["before"]  # readers go on
    other.execute("ROLLBACK")
    store.commit(submission("after"))
    assert list(store.world().records) == ["before", "after"]


def test_opening_a_locked_database_is_refused_in_bounded_time(path: Path):
    SqlStore(f"sqlite:///{path}").close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with refused_with("locked by another process"):
        SqlStore(f"sqlite:///{path}", busy_timeout_s=0.05)


def test_a_full_disk_refuses_writes_and_keeps_what_was_accepted(path: Path):
    with _at_most_pages(60):
        store = SqlStore(f"sqlite:///{path}")
        accepted: list[str] = []
        with refused_with("disk is full"):
            for index in range(100):
                store.commit(submission(f"w{index}", size=10_000))
                accepted.append(f"w{index}")
        assert accepted
        assert list(store.world().records) == accepted
        store.close()
    roomier = SqlStore(f"sqlite:///{path}")
    roomier.commit(submission("later", size=100_000))
    assert list(roomier.world().records) == [*accepted, "later"]


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 8_000])
def test_a_file_that_is_no_database_is_not_touched(path: Path, content: bytes):
    path.write_bytes(content)
    with refused_with("damaged, or is no database"):
        SqlStore(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_damaged_database_is_told_when_it_is_read(path: Path):
    store = SqlStore(f"sqlite:///{path}")
    for index in range(50):
        store.commit(submission(f"w{index}", size=3_000))
    store.close()
    page_bytes = 4_096
    with path.open("r+b") as file:  # the pages behind the schema
        file.seek(page_bytes * 20)
        file.write(b"\xff" * page_bytes * 60)
    broken = SqlStore(f"sqlite:///{path}")
    with refused_with("damaged, or is no database"):
        broken.world()


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="cannot be opened"):
        SqlStore(f"sqlite:///{tmp_path}/file/suanli.db")
    with pytest.raises(Unavailable):
        SqlStore(f"sqlite:///{tmp_path}")


def test_a_disk_that_was_full_for_a_while_lets_the_same_store_go_on(path: Path):
    store = SqlStore(f"sqlite:///{path}")
    with _at_most_pages(60):
        tight = SqlStore(f"sqlite:///{path}")
        with refused_with("disk is full"):
            tight.commit(submission("big", size=1_000_000))
        assert tight.world() == World()
        tight.commit(submission("small"))
    assert list(store.world().records) == ["small"]


@contextmanager
def _at_most_pages(pages: int) -> Iterator[None]:
    """A disk with room for that many pages: SQLite reports the same error as for a full one."""

    def limit(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(sa.Engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(sa.Engine, "connect", limit)
