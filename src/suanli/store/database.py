"""Opening a database: its file and rights, its settings, its schema; and the two kinds of transaction."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from suanli.domain.errors import Unavailable, UsageError
from suanli.store.failures import told_as_unavailable
from suanli.store.schema import upgrade


class Database:
    """An open database. `where` names it in messages, without its password."""

    def __init__(self, url: str, busy_timeout_s: float) -> None:
        """Raises UsageError for a URL that makes no sense, Unavailable where the database cannot be used."""
        parsed = _parse(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.where = str(parsed.database) if self.is_sqlite else parsed.render_as_string(hide_password=True)
        self._engine = _engine(parsed, busy_timeout_s)
        with told_as_unavailable(self.where), ExitStack() as undo:
            undo.callback(self._engine.dispose)
            with _alone_at(Path(str(parsed.database))) if self.is_sqlite else nullcontext():
                self._upgrade()
            undo.pop_all()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One snapshot for all statements."""
        level: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with told_as_unavailable(self.where), self._engine.connect() as connection:
            connection.execution_options(**level)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """All or nothing, after every earlier writer."""
        with told_as_unavailable(self.where), self._engine.connect() as connection:
            connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _upgrade(self) -> None:
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            upgrade(connection, self.where)


_OPENING_S_MAX = 30.0
_ADVISORY_LOCK = 0x7375616E6C69  # "suanli"


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        parsed.get_dialect()
    except (exc.ArgumentError, exc.NoSuchModuleError) as error:
        raise UsageError(
            f"The store's URL is not understood: {error}.",
            remedy="Write sqlite:////path/to/file or postgresql://…",
        ) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(
            f"Suanli keeps its state in SQLite or PostgreSQL, not in {parsed.get_backend_name()}.",
            remedy="Write sqlite:////path/to/file or postgresql://…",
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError("The store's URL names no file.", remedy="Write sqlite:////path/to/file.")
    return parsed


def _engine(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_s})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    options = f"-c lock_timeout={round(busy_timeout_s * 1000)}"
    try:
        return sa.create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": 5, "options": options}
        )
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"PostgreSQL needs the package {error.name}.", remedy="Run `pip install 'suanli[postgresql]'`."
        ) from error


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself: _begin_sqlite does
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose accepted work when the power fails


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


@contextmanager
def _alone_at(path: Path) -> Iterator[None]:
    """The file is there, private, and nobody else opens it. The kernel drops the lock when this process dies.

    SQLite alone would let two first openers collide: the switch to the write-ahead log does not wait for a lock.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        _lock(descriptor, time.monotonic() + _OPENING_S_MAX)
        _make_private(path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, deadline_s: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def _make_private(path: Path) -> None:
    """0600; SQLite gives its -wal and -shm files the same rights.

    An existing file is never opened here: closing it would drop the locks that this process holds on it.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
