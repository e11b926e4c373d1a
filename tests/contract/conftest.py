"""The stores that keep the contract: in memory, on SQLite, and on a PostgreSQL of our own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from suanli.ports.memory_store import MemoryStore
from suanli.ports.store import Store
from suanli.store import SqlStore


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    match request.param:
        case "memory":
            opened: Store = MemoryStore()
        case "sqlite":
            opened = SqlStore(f"sqlite:///{tmp_path}/suanli.db")
        case _:
            opened = SqlStore(request.getfixturevalue("new_postgresql_url")())
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def new_postgresql_url() -> Iterator[Callable[[], str]]:
    """A throw-away PostgreSQL of our own, on a socket only; each call makes a new database in it."""
    pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg: pip install 'suanli[postgresql]'")
    initdb, control = _postgresql_program("initdb"), _postgresql_program("pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    data = folder / "data"
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses root
        owner = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chown(folder, 65534, 65534)

    def run(*argv: str | Path) -> None:
        subprocess.run(argv, check=True, capture_output=True, cwd="/", **owner)

    run(initdb, "-D", data, "-A", "trust", "-U", "suanli", "-N")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run(control, "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    names = iter(range(1_000))
    admin = sa.create_engine(f"postgresql://suanli@/postgres?host={folder}", isolation_level="AUTOCOMMIT")

    def new_url(template: str = "suanli0") -> str:
        name = f"suanli{next(names)}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql://suanli@/{name}?host={folder}"

    SqlStore(new_url("template0")).close()
    yield new_url
    admin.dispose()
    run(control, "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)


def _postgresql_program(name: str) -> str:
    found = shutil.which(name) or next(
        (str(p) for p in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None
    )
    return found or pytest.skip(f"no PostgreSQL server on this machine ({name})")
