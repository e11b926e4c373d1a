"""The ledger at work, within the supervisor's event loop: workers at one side, the journal and hour files at the other.

What several workers report while the disk is busy goes to it together: one write, one fsync. A grant of a budget is
told once the journal has it. Where the disk refuses, none is, and the ledger tries until the disk takes it.
"""

import asyncio
import fcntl
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from suanli.domain.errors import Conflict
from suanli.serving.admission import usage
from suanli.serving.admission.books import Books, Reopened
from suanli.serving.admission.journal import Journal, open_journal
from suanli.serving.admission.ledger import Ledger, Now
from suanli.serving.admission.messages import Answers, Frames, Report, framed
from suanli.whole_file import replace

log = logging.getLogger(__name__)

JOURNAL = "ledger.journal"
JOURNAL_BYTES_MAX = 8 * 2**20
"""Beyond this, and four times what a snapshot took, the journal begins anew with a snapshot."""

PUBLISH_S = 5.0
"""So often the file of the hour is renewed where something was used."""

DISK_RETRY_S = 1.0
HOURS_KEPT = 35 * 24
"""Hour files older than this are removed."""

_REPORT = msgspec.msgpack.Decoder(Report)


class LedgerServer:
    """Made by `ledger_of`."""

    def __init__(self, folder: Path, journal: Journal, books: Books, now: Callable[[], Now]) -> None:
        self._folder = folder
        self._journal = journal
        self._ledger = Ledger(books)
        self._now = now
        self._transports: dict[int, asyncio.Transport] = {}
        self._workers = 0
        self._bodies: list[bytes] = []
        self._to_tell: list[tuple[int, Answers]] = []
        self._work = asyncio.Event()
        self._written = asyncio.Condition()
        self._written_seq = books.seq
        self._is_broken = False
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._snapshot_bytes = 0
        self._unpublished = set(books.hours)

    async def attach(self) -> socket.socket:
        """A new worker's end of its link. Close it here once the worker has inherited it."""
        ours, theirs = socket.socketpair()
        worker = self._workers = self._workers + 1
        self._ledger.join(worker)
        transport, _ = await asyncio.get_running_loop().create_unix_connection(
            lambda: Frames(lambda body: self._received(worker, body), lambda: self._lost(worker)), sock=ours
        )
        self._transports[worker] = transport
        return theirs

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._write_always()), asyncio.create_task(self._publish_always())]

    async def close(self) -> None:
        """Part from the workers, and write and publish what they reported. Waits for no disk that refuses."""
        for transport in list(self._transports.values()):
            transport.abort()
        writing, publishing = self._tasks
        publishing.cancel()
        self._is_closing = True
        self._work.set()
        await writing
        if not self._is_broken:
            await self.publish()
        self._journal.close()

    def _received(self, worker: int, body: bytes) -> None:
        try:
            report = _REPORT.decode(body)
        except msgspec.DecodeError:
            log.exception("worker %d said what is no report; it is cut off", worker)
            self._transports[worker].abort()
            return
        now = self._now()
        if report.usage:
            self._open_hour(usage.hour_of(now.unix_s))
        outcome = self._ledger.report(worker, report, now)
        if outcome.entry is not None:
            self._bodies.append(msgspec.msgpack.encode(outcome.entry))
        if outcome.at_once:
            self._tell(worker, Answers(outcome.at_once))
        if outcome.once_durable or report.mark:
            self._to_tell.append((worker, Answers(outcome.once_durable, report.mark)))
        if outcome.entry is not None or report.mark:
            self._work.set()

    def _open_hour(self, hour: int) -> None:
        """Make sure that what is counted goes on where the hour's file ends, if there is one that the books forgot."""
        books = self._ledger.books
        self._unpublished.add(hour)
        if hour not in books.hours and (file := usage.read_hour(self._folder, hour)) is not None:
            record = Reopened(max(books.seq, file.seq) + 1, file)
            books.apply(record)
            self._bodies.append(msgspec.msgpack.encode(record))

    def _lost(self, worker: int) -> None:
        self._transports.pop(worker, None)
        self._ledger.leave(worker, self._now())

    def _tell(self, worker: int, answers: Answers) -> None:
        transport = self._transports.get(worker)
        if transport is not None and not transport.is_closing():
            transport.write(framed(answers))

    async def _write_always(self) -> None:
        while not (self._is_closing and (self._is_broken or not self._bodies)):
            await self._work.wait()
            self._work.clear()
            bodies, self._bodies = self._bodies, []
            to_tell, self._to_tell = self._to_tell, []
            seq, snapshot = self._ledger.books.seq, b""
            if self._is_broken or self._journal.size_bytes > JOURNAL_BYTES_MAX + 4 * self._snapshot_bytes:
                snapshot = self._ledger.books.snapshot(self._now().unix_s)
            try:
                await asyncio.to_thread(self._write, bodies, snapshot)
            except OSError as error:
                self._to_tell = to_tell + self._to_tell
                await self._wait_for_disk(error)
                continue
            self._is_broken = False
            for worker, answers in to_tell:
                self._tell(worker, answers)
            async with self._written:
                self._written_seq = seq
                self._written.notify_all()

    def _write(self, bodies: list[bytes], snapshot: bytes) -> None:
        """Raises OSError. Bodies that a snapshot holds already need not be written."""
        if snapshot:
            self._journal.replace([snapshot])
            self._snapshot_bytes = len(snapshot)
        elif bodies:
            self._journal.append(bodies)

    async def _wait_for_disk(self, error: OSError) -> None:
        """What is in the file now is unknown: a whole new one takes its place, once the disk takes it."""
        if not self._is_broken:
            log.error("the ledger cannot write, no budget is granted until it can: %s", error)
        self._is_broken = True
        if not self._is_closing:
            await asyncio.sleep(DISK_RETRY_S)
        self._work.set()

    async def _publish_always(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_S)
            await self.publish()

    async def publish(self) -> None:
        """Renew the files of the hours in which something was used, and forget the hours that are over."""
        seq, files = self._ledger.books.seq, self._hours_to_publish()
        async with self._written:
            await self._written.wait_for(lambda: self._written_seq >= seq)
        try:
            await asyncio.to_thread(self._publish_now, files)
        except OSError:
            log.exception("an hour's usage cannot be written")
            self._unpublished.update(files)
            return
        now = self._now()
        books, this_hour = self._ledger.books, usage.hour_of(now.unix_s)
        for hour in [hour for hour in books.hours if hour < this_hour and hour not in self._unpublished]:
            del books.hours[hour]
        self._ledger.forget_idle(now)

    def _hours_to_publish(self) -> dict[int, bytes]:
        hours = self._unpublished & self._ledger.books.hours.keys()
        self._unpublished.clear()
        return {hour: msgspec.json.encode(self._ledger.books.hour(hour)) for hour in hours}

    def _publish_now(self, files: dict[int, bytes]) -> None:
        for hour, body in files.items():
            replace(usage.path_of(self._folder, hour), body, durable=True)
        if files:
            oldest = max(files) - HOURS_KEPT
            for hour in usage.hours_in(self._folder):
                if hour < oldest:
                    usage.path_of(self._folder, hour).unlink(missing_ok=True)


@asynccontextmanager
async def ledger_of(folder: Path, *, now: Callable[[], Now] | None = None) -> AsyncIterator[LedgerServer]:
    """The ledger of a gateway's folder, made where it is missing, at work in this event loop until the block ends.

    Raises Conflict where another process has it, OSError where the folder cannot be used.
    """
    (folder / usage.FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "ledger.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        _claim(lock, folder)
        journal, records = open_journal(folder / JOURNAL)
        server = LedgerServer(folder, journal, Books(records), now or _now)
        server.start()
        try:
            yield server
        finally:
            await server.close()
    finally:
        os.close(lock)


def _claim(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(f"The ledger in {folder} belongs to another gateway that runs.") from None


def _now() -> Now:
    return Now(time.monotonic(), time.time())
