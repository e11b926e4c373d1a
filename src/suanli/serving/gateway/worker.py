"""One worker process of the gateway: accepts from the inherited socket, follows the routes, tells what it does.

Run by the supervisor as `python -m suanli.serving.gateway.worker SETTINGS`, SETTINGS being JSON.
"""

import asyncio
import ctypes
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from suanli.serving.gateway.admission_port import Admission, OpenAdmission
from suanli.serving.gateway.exposition import read_workers, rendered
from suanli.serving.gateway.gateway import Gateway
from suanli.serving.gateway.routes_file import ROUTES_FILE, RoutesFile
from suanli.serving.gateway.server import ClientConnection
from suanli.serving.gateway.service import Part
from suanli.serving.gateway.stats import WorkerStats
from suanli.whole_file import replace

PR_SET_PDEATHSIG = 1
LOOK_S = 0.025
"""So often the routes' file is looked at."""
TELL_S = 0.5
SWEEP_S = 1.0
DRAIN_S = 30.0
SETTLE_S = 1.0
"""So long, at most, those that are cut then may take to be settled."""
CONNECTIONS_MAX = 10_000
ACCEPT_MAX = 16
"""Connections taken at once: the next are left to a worker that has less to do."""

log = logging.getLogger(__name__)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor tells a worker. `listening` and `ledger` are inherited file descriptors; without a ledger
    everybody may enter."""

    folder: str
    slot: int
    workers: int
    supervisor: int
    listening: int
    ledger: int | None = None
    tls_cert: str | None = None
    tls_key: str | None = None


def main(text: str) -> None:
    settings = msgspec.json.decode(text, type=Settings)
    _die_with(settings.supervisor)
    _open_many_files()
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s gateway worker {settings.slot}: %(levelname)s %(message)s"
    )
    uvloop.run(serve(settings))


def _die_with(supervisor: int) -> None:
    """Killed by the kernel when the supervisor ends, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit("the supervisor is gone")


def _open_many_files() -> None:
    """Two for each connection and some more, as far as this user may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS_MAX + 1000
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


async def serve(settings: Settings) -> None:
    """Until SIGTERM, and then until what is under way is done."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    admission = _admission(settings, ended.set)
    await admission.start()
    worker = Worker(settings, admission, loop)
    worker.begin()
    await ended.wait()
    await worker.drain()
    await admission.stop()


def _admission(settings: Settings, cut_off: Callable[[], None]) -> Admission:
    """`cut_off` is called where limits can be asked for no more: another worker, started anew, can."""
    if settings.ledger is None:
        return OpenAdmission()
    from suanli.serving.admission.link import SocketLink
    from suanli.serving.admission.worker import LedgerAdmission

    return LedgerAdmission(SocketLink(socket.socket(fileno=settings.ledger)), cut_off=cut_off)


class Worker:
    """What goes on beside the requests: accepting, and the ticks."""

    def __init__(self, settings: Settings, admission: Admission, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = Path(settings.folder)
        self.slot = settings.slot
        self.started_s = time.time()
        self.loop = loop
        part = Part(settings.slot, settings.workers)
        self.gateway = Gateway(loop, admission, part, self._metrics)
        self._routes_file = RoutesFile(self.folder / ROUTES_FILE)
        self._listening = socket.socket(fileno=settings.listening)
        self._listening.setblocking(False)
        self._tls = _tls(settings)
        self._accepts = False
        self._told_s = self._swept_s = 0.0
        self._telling = loop.create_future()
        self._telling.set_result(None)

    def begin(self) -> None:
        """Routes first, then clients."""
        self._tick()
        self._accept_more(True)

    # --- clients

    def _accept_more(self, accepts: bool) -> None:
        if accepts != self._accepts:
            self._accepts = accepts
            if accepts:
                self.loop.add_reader(self._listening, self._accept)
            else:
                self.loop.remove_reader(self._listening)

    def _accept(self, at_most: int = ACCEPT_MAX) -> None:
        for _ in range(at_most):
            if len(self.gateway.clients) + len(self.gateway.tasks) >= CONNECTIONS_MAX:
                self._accept_more(False)  # the others wait in the kernel's queue; the next sweep looks again
                return
            try:
                client, _ = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptors left
                log.warning("no connection can be accepted: %s", error)
                self._accept_more(False)
                return
            task = self.loop.create_task(self._welcome(client))
            self.gateway.tasks.add(task)
            task.add_done_callback(self.gateway.tasks.discard)

    async def _welcome(self, client: socket.socket) -> None:
        client.setblocking(False)
        handshake_s = 10.0 if self._tls else None
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.connect_accepted_socket(
                lambda: ClientConnection(self.gateway, self.loop),
                client,
                ssl=self._tls,
                ssl_handshake_timeout=handshake_s,
            )
        except (OSError, ssl.SSLError) as error:
            client.close()
            log.debug("a client did not get through: %s", error)

    # --- ticks

    def _tick(self) -> None:
        now_s = self.loop.time()
        routes = self._routes_file.news()
        if routes is not None:
            self.gateway.follow(routes)
            log.info("follows routes %d", routes.version)
            self._told_s = 0.0
        if self._telling.done() and now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            self._telling = self._tell()
        if now_s - self._swept_s >= SWEEP_S:
            self._swept_s = now_s
            self.gateway.sweep()
            if not self.gateway.draining:
                self._accept_more(True)
        self.gateway.pump()
        self.loop.call_later(LOOK_S, self._tick)

    def stats(self) -> WorkerStats:
        gateway = self.gateway
        in_flight: dict[str, int] = {}
        for service in (*gateway.services.values(), *gateway.removed):
            at_work = service.in_flight()
            service.stats.in_flight = sum(at_work.values())
            in_flight.update(at_work)
        return WorkerStats(
            pid=os.getpid(),
            started_s=self.started_s,
            at_s=time.time(),
            routes_version=gateway.routes.version,
            services={name: service.stats for name, service in gateway.services.items()},
            in_flight=in_flight,
        )

    def _tell(self) -> asyncio.Future[None]:
        """Written by a thread, as even a rename waits for a disk that is busy, and requests shall not. Not durable:
        after a crash of the machine these counts begin anew."""
        told = msgspec.json.encode(self.stats())
        return self.loop.run_in_executor(None, self._write, told)

    def _write(self, told: bytes) -> None:
        try:
            replace(self.folder / f"worker-{self.slot}.json", told, durable=False)
        except OSError as error:
            log.warning("what this worker does cannot be told: %s", error)

    def _metrics(self) -> bytes:
        return rendered({**read_workers(self.folder), str(self.slot): self.stats()})

    # --- the end

    async def drain(self) -> None:
        """Accept what is queued already, then nobody; let everything end, for as long as `DRAIN_S`."""
        self._accept(at_most=CONNECTIONS_MAX)
        self.gateway.draining = True
        self._accept_more(False)
        self._listening.close()
        until_s = self.loop.time() + DRAIN_S
        while (self.gateway.clients or self.gateway.tasks) and self.loop.time() < until_s:
            self.gateway.sweep()
            await asyncio.sleep(LOOK_S)
        if self.gateway.clients:
            log.warning("ends with %d connections open", len(self.gateway.clients))
        for client in list(self.gateway.clients):
            client.transport.abort()
        until_s = self.loop.time() + SETTLE_S
        while self.gateway.clients and self.loop.time() < until_s:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0)  # connections learn of it one turn of the loop later
        await self._telling
        self._telling = self._tell()
        await self._telling


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    context.set_alpn_protocols(["http/1.1"])
    return context


if __name__ == "__main__":
    main(sys.argv[1])
