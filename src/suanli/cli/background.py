"""A controller as a background process: started, waited for, and found again."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from suanli.cli.client import Client, connect, path_of, read_server
from suanli.cli.errors import TimedOut
from suanli.cli.session import Session

EVERY_S = 0.05
STOP_S = 30.0
TAIL_LINES = 40
UP_LOG = "up.log"
"""What a background controller writes to stdout and stderr; beside the log, which it keeps itself."""


def arguments(context: typer.Context) -> list[str]:
    """The command line that would lead to the same parameters."""
    words: list[str] = []
    for parameter in context.command.params:
        value, option = context.params[parameter.name or ""], parameter.opts[0]
        if isinstance(value, bool):
            words += [option] if value else []
        elif isinstance(value, (list, tuple)):
            words += [word for each in value for word in (option, str(each))]
        elif value not in (None, ""):
            words += [option, str(value)]
    return words


def start(
    session: Session,
    words: Sequence[str],
    limit_s: float,
    fleet: Sequence[Mapping[str, str]] = (),
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Start `suanli up WORDS` in a session of its own, wait until it is ready, and return what it noted of itself.

    Where one runs in that home already: that one. In either case it is then given the `fleet`. A start that fails ends
    this process too, with its words and code. Raises TimedOut, and Refused where the fleet is.
    """
    server = _start(session, words, limit_s, env)
    if fleet:
        connect(session.home).post(path_of("apply"), {"sources": list(fleet)})
    return server


def _start(
    session: Session, words: Sequence[str], limit_s: float, env: Mapping[str, str] | None
) -> dict[str, Any]:
    there = running(session.home)
    if there is not None:
        session.note(f"A controller runs in {session.home} already.")
        return there
    session.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    said = session.home / UP_LOG
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "suanli.cli", "up", *words, "--in-background"],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            env=env,
        )
    finally:
        os.close(descriptor)
    try:
        _wait_for(session, child, said, limit_s)
    except BaseException:
        _end(child)
        raise
    for line in _tail(said):
        session.note(line)
    os.truncate(said, 0)  # it held the token, which is shown once
    return running(session.home) or {}


def _end(child: "subprocess.Popen[bytes]") -> None:
    """With time to take down what it has started."""
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()


def running(home: Path) -> dict[str, Any] | None:
    """What the live controller of this home noted of itself; None where none lives."""
    from suanli.control.home import Home, running_server

    return read_server(home) if running_server(Home(home)) is not None else None


def wait_until_ready(
    home: Path, pid: int, limit_s: float, is_gone: Callable[[], bool] = lambda: False
) -> bool:
    """Whether that process came to hold its lease and reach its engine in time."""
    ends_s = time.monotonic() + limit_s
    while time.monotonic() < ends_s and not is_gone():
        server = read_server(home)
        if server is not None and server["pid"] == pid and Client(server["url"], "").is_ready():
            return True
        time.sleep(EVERY_S)
    return False


def _wait_for(session: Session, child: "subprocess.Popen[bytes]", said: Path, limit_s: float) -> None:
    if wait_until_ready(session.home, child.pid, limit_s, lambda: child.poll() is not None):
        return
    code = child.poll()
    if code is None:
        raise TimedOut(
            f"The controller was not ready within {limit_s:g} s.",
            remedy=f"See {session.home / 'controller.log'}, or allow more with `--timeout`.",
        )
    sys.stderr.write("".join(f"{line}\n" for line in _tail(said)))
    raise typer.Exit(code if code > 0 else 1)


def last_words(home: Path) -> list[str]:
    """The end of what a controller of this home wrote: how it ended, where that was no good end, else its log."""
    return _tail(home / UP_LOG) or _tail(home / "controller.log")


def _tail(file: Path) -> list[str]:
    if not file.exists():
        return []
    return file.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
