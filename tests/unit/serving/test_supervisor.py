"""The supervisor of a gateway's workers, where the machine refuses it something."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from suanli.serving.admission.server import LedgerServer
from suanli.serving.gateway.supervisor import Options, Supervisor


class Ledger:
    """Gives links away. `given` are their ends on this side."""

    def __init__(self) -> None:
        self.given: list[socket.socket] = []

    async def attach(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.given.append(ours)
        return theirs


class Machine:
    """Starts sleeping processes in place of workers, and refuses the first `refusals` calls of `what`."""

    def __init__(self, patched: pytest.MonkeyPatch, what: str, refusals: int) -> None:
        self.refusals = refusals
        self.refuses = what
        self.started: list[subprocess.Popen[bytes]] = []
        self._start, self._watch = subprocess.Popen[bytes], os.pidfd_open
        patched.setattr(subprocess, "Popen", self.start)
        patched.setattr(os, "pidfd_open", self.watch)

    def _refuse(self, what: str) -> None:
        if what == self.refuses and self.refusals:
            self.refusals -= 1
            raise OSError(errno.EAGAIN, "none left")

    def start(self, command: Any, **_: Any) -> subprocess.Popen[bytes]:
        self._refuse("processes")
        worker = self._start([sys.executable, "-c", "import time; time.sleep(600)"])
        self.started.append(worker)
        return worker

    def watch(self, pid: int) -> int:
        self._refuse("watching")
        return self._watch(pid)


@pytest.mark.parametrize("refused", ["processes", "watching"])
def test_a_worker_that_could_not_be_started_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    machine, ledger = Machine(monkeypatch, refused, refusals=2), Ledger()
    options = Options(folder=tmp_path, host="127.0.0.1", port=0, workers=1)

    async def test(listening: socket.socket) -> None:
        supervisor = Supervisor(options, listening, cast(LedgerServer, ledger))
        supervisor._start_soon(0)
        async with asyncio.timeout(30):
            while not supervisor.workers:  # noqa: ASYNC110 - it is the supervisor that goes on
                await asyncio.sleep(0.01)
        *unwatched, worker = machine.started
        assert all(each.returncode is not None for each in unwatched)
        assert all(end.recv(1) == b"" for end in ledger.given[:-1])
        supervisor._ends.set()
        worker.kill()
        async with asyncio.timeout(30):
            await supervisor._all_ended.wait()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        asyncio.run(test(listening))
