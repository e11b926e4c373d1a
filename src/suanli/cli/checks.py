"""What `doctor` looks at. Each check yields what it found, and imports what it needs."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suanli.cli.session import DEFAULT_PORT

if TYPE_CHECKING:
    from psutil import Process

OK, WARN, FAIL = "ok", "warn", "fail"

OLDEST_PYTHON = (3, 11)
DISK_WARN_BYTES, DISK_FAIL_BYTES = 5 * 2**30, 256 * 2**20
MEMORY_WARN_BYTES, MEMORY_FAIL_BYTES = 3 * 2**30, 2**30
DATABASE_WAIT_S = 2.0


@dataclass(frozen=True)
class Finding:
    """One check: how it went, what was seen, and what to do."""

    check: str
    level: str
    seen: str
    remedy: str = ""


def _python(home: Path) -> Iterator[Finding]:
    import platform

    level = OK if sys.version_info >= OLDEST_PYTHON else FAIL
    yield Finding(
        "python", level, f"{platform.python_version()} in {sys.prefix}", "" if level == OK else "Needs 3.11."
    )


def _packages(home: Path) -> Iterator[Finding]:
    from importlib import metadata

    from packaging.requirements import Requirement

    wrong: list[str] = []
    for line in metadata.requires("suanli") or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = "none"
        if found == "none" or not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found} (needs {requirement.specifier})")
    if wrong:
        yield Finding("packages", FAIL, ", ".join(wrong), "Install Suanli again with its constraints.txt.")
    else:
        yield Finding("packages", OK, f"suanli {metadata.version('suanli')}, ray {metadata.version('ray')}")


def _processor(home: Path) -> Iterator[Finding]:
    import os

    from suanli.telemetry.discover import usable_cpus

    cores = usable_cpus()
    yield Finding("cpus", OK if cores >= 1 else WARN, f"{cores:g} usable of {os.cpu_count()}")


def _memory(home: Path) -> Iterator[Finding]:
    import psutil

    from suanli.reports.quantities import memory
    from suanli.telemetry.cgroup import memory_limit

    free_bytes, limit = psutil.virtual_memory().available, memory_limit()
    seen = f"{memory(free_bytes)} available"
    if limit is not None and limit.limit_bytes < psutil.virtual_memory().total:
        free_bytes = min(free_bytes, limit.limit_bytes - (limit.used_bytes() or 0))
        seen = f"{memory(free_bytes)} available within a limit of {memory(limit.limit_bytes)}"
    yield Finding(
        "memory", *_judged(free_bytes, MEMORY_WARN_BYTES, MEMORY_FAIL_BYTES, seen, "Ray alone needs 700MiB.")
    )


def _disk(home: Path) -> Iterator[Finding]:
    import shutil

    from suanli.reports.quantities import memory

    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    seen = f"{memory(free_bytes)} free at {there}"
    yield Finding(
        "disk", *_judged(free_bytes, DISK_WARN_BYTES, DISK_FAIL_BYTES, seen, "Free some, or use `--home`.")
    )


def _judged(free: float, warn: float, fail: float, seen: str, remedy: str) -> tuple[str, str, str]:
    level = FAIL if free < fail else WARN if free < warn else OK
    return level, seen, "" if level == OK else remedy


def _rights(home: Path) -> Iterator[Finding]:
    import os

    if not home.exists():
        yield Finding("home", OK, f"{home} is not there yet; `suanli up` makes it")
        return
    state = home.stat()
    if state.st_uid != os.geteuid():
        yield Finding(
            "home", FAIL, f"{home} belongs to user {state.st_uid}", "Give another one with `--home`."
        )
    elif state.st_mode & 0o077:
        level = FAIL if state.st_mode & 0o022 else WARN
        yield Finding(
            "home", level, f"{home} is open to others ({state.st_mode & 0o777:o})", f"chmod 700 {home}"
        )
    else:
        yield Finding("home", OK, str(home))
    token = home / "token"
    if token.exists():
        mode = token.stat().st_mode & 0o777
        open_to_others = f"its mode is {mode:o}: others may have read it"
        remedy = f"rm {token}; the next start makes a new one"
        yield (
            Finding("token", FAIL, open_to_others, remedy)
            if mode & 0o077
            else Finding("token", OK, "for you alone")
        )


def _database(home: Path) -> Iterator[Finding]:
    import sqlite3

    path = home / "suanli.db"
    if not path.exists():
        return
    remedy = "Keep the file, and start with another `--home`; `suanli.db` is an SQLite database."
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=DATABASE_WAIT_S)
        try:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        said = str(error)
    yield (
        Finding("database", OK, str(path))
        if said == "ok"
        else Finding("database", FAIL, f"{path}: {said}", remedy)
    )


def _controller(home: Path) -> Iterator[Finding]:
    from suanli.cli.client import Client
    from suanli.control.home import Home, read_server, running_server

    server = running_server(Home(home))
    if server is None:
        left = " (the last one did not end in order)" if read_server(Home(home)) else ""
        yield Finding("controller", OK, f"none runs in {home}{left}")
        return
    ready = Client(server.url, "", timeout_s=5.0).is_ready()
    yield Finding(
        "controller",
        OK if ready else WARN,
        f"{server.url}, process {server.pid}, {'ready' if ready else 'not ready'}",
        "" if ready else f"See {home / 'controller.log'}.",
    )


def _port(home: Path) -> Iterator[Finding]:
    import errno
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError as error:
            used = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
            remedy = "By another home's controller? Start this one with `suanli up --port 0`."
            yield Finding("port", WARN, f"{DEFAULT_PORT} {used}", remedy)
        else:
            yield Finding("port", OK, f"{DEFAULT_PORT} is free")


def _accelerators(home: Path) -> Iterator[Finding]:
    from suanli.reports.quantities import memory
    from suanli.telemetry.nvml import devices

    found = [f"{device.name} {memory(device.memory_bytes)}" for device in devices()]
    yield Finding(
        "accelerators",
        OK,
        ", ".join(found) or "NVML reports none; work without accelerators runs all the same",
    )


def _other_rays(home: Path) -> Iterator[Finding]:
    """Noted, never touched. The embedded cluster of this home lives in its keeper's session."""
    import psutil

    from suanli.engine.ray.kept import recorded

    keeper = recorded(home / "ray" / "cluster.json")
    own = keeper.pid if keeper else None
    others = [str(process.pid) for process in psutil.process_iter() if _is_head(process, own)]
    if others:
        seen = f"clusters that are not of this home (gcs_server {', '.join(others)}); left alone"
        yield Finding("other Ray", OK, seen)


def _is_head(process: "Process", own_session: int | None) -> bool:
    import os

    import psutil

    try:
        return process.name() == "gcs_server" and os.getsid(process.pid) != own_session
    except (psutil.Error, OSError):  # gone meanwhile, or none of our business
        return False


CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _processor,
    _memory,
    _disk,
    _rights,
    _database,
    _port,
    _accelerators,
    _other_rays,
    _controller,
)
