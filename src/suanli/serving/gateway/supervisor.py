"""The parent of a gateway's workers: binds the one listening socket, keeps every worker alive, ends them in order.

All workers accept from the same inherited socket. A worker that is killed takes along what it was answering, and no
connection that still waited to be accepted.
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil

from suanli.domain.errors import Unavailable
from suanli.serving.admission.server import LedgerServer, ledger_of
from suanli.serving.gateway.worker import DRAIN_S, Settings
from suanli.whole_file import replace

GATEWAY_FILE = "gateway.json"
BACKLOG = 4096
KILL_S = DRAIN_S + 5.0
SOON_S = 1.0
"""A worker that ends sooner after its start than this is not started again at once."""
RETRY_S, RETRY_MAX_S = 0.1, 5.0

log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` holds the routes' file, and what workers tell. Port 0: any that is free."""

    folder: Path
    host: str
    port: int
    workers: int
    tls_cert: str | None = None
    tls_key: str | None = None


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """`gateway.json`: which process it is, and where it listens."""

    pid: int
    create_time_s: float
    host: str
    port: int
    workers: int
    tls: bool = False


async def supervise(options: Options) -> None:
    """Until SIGTERM or SIGINT. Raises Unavailable where it cannot listen, Conflict where the folder has a gateway."""
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    listening = _listen(options.host, options.port)
    async with ledger_of(options.folder) as ledger:
        for old in options.folder.glob("worker-*.json"):
            old.unlink()
        _tell(options, listening)
        supervisor = Supervisor(options, listening, ledger)
        try:
            await supervisor.run()
        finally:
            (options.folder / GATEWAY_FILE).unlink(missing_ok=True)


class Supervisor:
    """Watches each worker by a file descriptor of its process: no signal of a child, no thread."""

    def __init__(self, options: Options, listening: socket.socket, ledger: LedgerServer) -> None:
        self.options = options
        self.listening = listening
        self.ledger = ledger
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self._failures: dict[int, int] = {}
        self._starts: set[asyncio.Task[None]] = set()
        self._ends = asyncio.Event()
        self._all_ended = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ends.set)
        for slot in range(self.options.workers):
            await self._start(slot)
        await self._ends.wait()
        await self._end()

    async def _start(self, slot: int) -> None:
        if self._ends.is_set():
            return
        link = await self.ledger.attach()
        settings = Settings(
            folder=str(self.options.folder),
            slot=slot,
            workers=self.options.workers,
            supervisor=os.getpid(),
            listening=self.listening.fileno(),
            ledger=link.fileno(),
            tls_cert=self.options.tls_cert,
            tls_key=self.options.tls_key,
        )
        with link:
            worker = subprocess.Popen(  # noqa: ASYNC220 - a few milliseconds
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "suanli.serving.gateway.worker",
                    msgspec.json.encode(settings).decode(),
                ],
                pass_fds=(self.listening.fileno(), link.fileno()),
                stdin=subprocess.DEVNULL,
            )
        try:
            descriptor = os.pidfd_open(worker.pid)
        except OSError:  # nobody would see it end
            worker.kill()
            worker.wait()
            raise
        self.workers[slot] = worker
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, self._ended, slot, worker, descriptor, loop.time())

    def _ended(self, slot: int, worker: subprocess.Popen[bytes], descriptor: int, started_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(descriptor)
        os.close(descriptor)
        code = worker.wait()
        del self.workers[slot]
        if self._ends.is_set():
            if not self.workers:
                self._all_ended.set()
            return
        wait_s = self._again(slot, failed=loop.time() - started_s < SOON_S)
        log.warning("worker %d (pid %d) ended with %d; again in %.1f s", slot, worker.pid, code, wait_s)

    def _again(self, slot: int, *, failed: bool) -> float:
        """In how many seconds: longer after each failure in a row."""
        failures = self._failures[slot] = self._failures.get(slot, 0) + 1 if failed else 0
        wait_s = min(RETRY_MAX_S, RETRY_S * 2 ** min(failures - 1, 10)) if failures else 0.0
        asyncio.get_running_loop().call_later(wait_s, self._start_soon, slot)
        return wait_s

    def _start_soon(self, slot: int) -> None:
        task = asyncio.get_running_loop().create_task(self._start_again(slot))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    async def _start_again(self, slot: int) -> None:
        try:
            await self._start(slot)
        except OSError as error:  # no processes or file descriptors left
            wait_s = self._again(slot, failed=True)
            log.warning("worker %d can't be started: %s; again in %.1f s", slot, error, wait_s)

    async def _end(self) -> None:
        """Workers accept no more, finish what they have, and end."""
        self.listening.close()
        self._signal_all(signal.SIGTERM)
        if not self.workers:
            return
        try:
            await asyncio.wait_for(self._all_ended.wait(), KILL_S)
        except TimeoutError:
            log.warning("%d workers did not end within %.0f s and are killed", len(self.workers), KILL_S)
            self._signal_all(signal.SIGKILL)
            await self._all_ended.wait()

    def _signal_all(self, number: int) -> None:
        for worker in self.workers.values():
            worker.send_signal(number)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise Unavailable(
            f"The gateway cannot listen on {host}:{port}: {error.strerror}.",
            remedy="Give another port, or stop what listens there.",
            evidence={"host": host, "port": port},
        ) from error
    return listening


def _tell(options: Options, listening: socket.socket) -> None:
    running = Running(
        pid=os.getpid(),
        create_time_s=psutil.Process().create_time(),
        host=options.host,
        port=listening.getsockname()[1],
        workers=options.workers,
        tls=options.tls_cert is not None,
    )
    replace(options.folder / GATEWAY_FILE, msgspec.json.encode(running), durable=True)
