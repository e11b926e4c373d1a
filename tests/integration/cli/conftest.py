"""A real controller on an engine without machines, and ways to call the command line on it."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from suanli.cli.main import app

SUANLI = (sys.executable, "-m", "suanli.cli")
FLEET = """\
kind: fleet
name: lab
nodes:
  - {name: big, cpus: 8, memory: 64GiB, accelerators: A100-80GB:2, price: 8/h}
  - {name: small, cpus: 4, memory: 16GiB, price: 0.4/h}
teams: {tight: {quota: {cpus: 1}}}
"""
WAIT_S = 60.0

Cli = Callable[..., Result]


class Ran(NamedTuple):
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUANLI_")}
    return {**kept, "COLUMNS": "200", **more}


def process(*words: str, stdin: str = "", cwd: Path | None = None, **env: str) -> Ran:
    """`suanli WORDS` as a process of its own, without a terminal."""
    done = subprocess.run(
        [*SUANLI, *words],
        input=stdin,
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


class Terminal:
    """`suanli WORDS` on a terminal of its own, which one can read, type on, and press Ctrl-C at."""

    def __init__(self, *words: str, **env: str) -> None:
        self.said = ""
        self._code: int | None = None
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            termios.tcsetwinsize(0, (100, 160))  # room for what other tests have left
            os.execve(sys.executable, [*SUANLI, *words], environment(TERM="xterm-256color", **env))

    def wait_for(self, text: str) -> None:
        self._read(lambda: text in self.said)
        assert text in self.said, self.said

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def end(self) -> int:
        """Its exit code, once it has ended."""
        self._read(lambda: False)
        return self._wait(os.WNOHANG)

    def _read(self, enough: Callable[[], bool]) -> None:
        ends_s = time.monotonic() + WAIT_S
        while not enough() and time.monotonic() < ends_s:
            if select.select([self._terminal], [], [], 0.1)[0]:
                try:
                    piece = os.read(self._terminal, 65536)
                except OSError:  # Linux' way to say that the other side has closed it
                    return
                self.said += piece.decode("utf-8", "replace")

    def close(self) -> None:
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)
            self._wait(0)
        os.close(self._terminal)

    def _wait(self, options: int) -> int:
        ends_s = time.monotonic() + WAIT_S
        while self._code is None and time.monotonic() < ends_s:
            pid, status = os.waitpid(self._pid, options)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        assert self._code is not None, f"still running: {self.said}"
        return self._code


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*words: str, **env: str) -> Terminal:
        opened.append(Terminal(*words, **env))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def fleet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    file.write_text(FLEET)
    return file


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, fleet_file: Path) -> Iterator[Path]:
    """Home of a running controller."""
    home = tmp_path_factory.mktemp("lab") / "home"
    started = process(
        "up", "-d", "--home", str(home), "--port", "0", "--engine", "fake", "--fleet", str(fleet_file)
    )
    assert started.code == 0, started.err
    yield home
    ended = process("down", "--home", str(home))
    assert ended.code == 0, ended.err


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("ps", "-o", "json")` in this process: the same code, without a start of its own."""
    for name in [name for name in os.environ if name.startswith("SUANLI_")]:
        monkeypatch.delenv(name)
    runner = CliRunner()

    def run(*words: object, stdin: str | None = None, env: Mapping[str, Any] | None = None) -> Result:
        return runner.invoke(app, [str(word) for word in words], input=stdin, env=env, catch_exceptions=False)

    return run


@pytest.fixture
def on_lab(cli: Cli, lab: Path) -> Cli:
    """The same, on the running controller."""

    def run(*words: object, **more: Any) -> Result:
        return cli(*words, "--home", lab, **more)

    return run


@pytest.fixture
def job(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Path]:
    """A file that declares a job under a name of this test's own."""

    def write(name: str, *lines: str, kind: str = "job") -> Path:
        file = tmp_path / f"{name}.yaml"
        file.write_text("\n".join([f"kind: {kind}", f"name: {name}", "run: [sleep, '1']", *lines, ""]))
        return file

    return write


def eventually(holds: Callable[[], bool], within_s: float = WAIT_S) -> None:
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s, "it did not come true in time"
        time.sleep(0.1)


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], bool]], None]:
    return eventually


@pytest.fixture(name="process")
def _process() -> Callable[..., Ran]:
    return process
