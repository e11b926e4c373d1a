"""Keepers as seen from outside: started, found again after a crash, and ended, always by their own process ids."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

from suanli.domain.errors import Unavailable
from suanli.engine.ray.keeper import Host

STOP_TIMEOUT_S = 10.0
POLL_S = 0.02


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A keeper on record. Its start, in ticks since boot, tells it from a later process of the same pid."""

    pid: int
    started_ticks: int
    host: Host


def spawn(host: Host, record: Path, env: Mapping[str, str], launcher: Sequence[str] = ()) -> Kept:
    """Start a keeper in a session of its own, on record before it is up. `launcher` is put before its argv."""
    Path(host.ready_file).unlink(missing_ok=True)
    argv = [
        *launcher,
        sys.executable,
        "-P",
        "-m",
        "suanli.engine.ray.keeper",
        msgspec.json.encode(host).decode(),
    ]
    with record.with_suffix(".log").open("wb") as output:
        process = subprocess.Popen(
            argv,
            env=dict(env),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    kept = Kept(pid=process.pid, started_ticks=_started_ticks(process.pid) or 0, host=host)
    write_private(record, msgspec.json.encode(kept))
    return kept


def recorded(record: Path) -> Kept | None:
    """The keeper on record, if it is still alive."""
    try:
        kept = msgspec.json.decode(record.read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return kept if is_alive(kept) else None


def is_alive(kept: Kept) -> bool:
    return _started_ticks(kept.pid) == kept.started_ticks


def wait_ready(kept: Kept, record: Path, timeout_s: float) -> str:
    """The cluster's address once the node is up. Raises Unavailable where it ends before, or takes too long."""
    deadline_s = time.monotonic() + timeout_s
    ready = Path(kept.host.ready_file)
    while not ready.exists():
        if not is_alive(kept):
            raise Unavailable(
                f"Ray's node {kept.host.name} ended before it was up.",
                remedy="Read its log; `suanli doctor` checks the usual causes.",
                evidence={"log": str(record.with_suffix(".log")), "last_lines": _last_lines(record)},
                code="SL-RAY-START",
            )
        if time.monotonic() >= deadline_s:
            raise Unavailable(
                f"Ray's node {kept.host.name} was not up after {timeout_s:.0f} s.",
                remedy="The machine may be overloaded: try again, or read the log.",
                evidence={"log": str(record.with_suffix(".log")), "last_lines": _last_lines(record)},
                code="SL-RAY-START",
            )
        time.sleep(POLL_S)
    return ready.read_text()


def end(kept: Kept, record: Path) -> None:
    """Returns once nothing of its session is alive. Not gracefully: that takes Ray a quarter of a minute."""
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while (members := _session(kept.pid)) and time.monotonic() < deadline_s:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(kept.pid, os.WNOHANG)  # where it is our own child, nobody else collects it
        time.sleep(POLL_S)
    for path in (record, Path(kept.host.ready_file)):
        path.unlink(missing_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, for the owner's eyes only."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    draft.rename(path)


def _started_ticks(pid: int) -> int | None:
    """None where there is no such process, or only what its parent has not yet collected of it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _session(session: int) -> list[int]:
    """Living processes of a session: a keeper's are its own, for it leads one and Ray's workers stay in it."""
    members: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
    return members


def _last_lines(record: Path) -> str:
    try:
        return record.with_suffix(".log").read_text(errors="replace")[-500:].strip()
    except OSError:
        return ""
