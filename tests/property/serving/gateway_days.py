"""A gateway on a virtual clock: real workers' admission and a real ledger with its journal, without processes."""

import asyncio
import hashlib
import heapq
import itertools
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from suanli.serving.admission.books import Books
from suanli.serving.admission.journal import Disk, open_journal
from suanli.serving.admission.ledger import Ledger, Now
from suanli.serving.admission.messages import Answers, Report, framed
from suanli.serving.admission.worker import TICK_S, Held, LedgerAdmission
from suanli.serving.gateway.admission_port import Grant, Refusal
from suanli.serving.gateway.routes import Key, Price, Route, Routes

BOOT_S = 1_800_000_000.0
"""The calendar's time at which the monotonic clock was 0."""

JOURNAL_BYTES_MAX = 3_000
"""Small, so that a short day begins the journal anew several times."""

CHAT = Route(
    service="chat",
    models=("chat",),
    price=Price(usd_per_token_in=1e-5, usd_per_token_out=2e-5, usd_per_s=1e-4),
    deadline_s=10.0,
)


def key_of(name: str, **limits: float) -> Key:
    return Key(name=name, digest=hashlib.sha256(name.encode()).hexdigest(), **limits)  # pyright: ignore[reportArgumentType]


class Killed(Exception):
    """The machine, or the supervisor on it, is gone."""


class MortalDisk(Disk):
    """Numbers its effects and dies at one of them. What was not synced then may be there, in part, or not."""

    def __init__(self, dies_at: int | None, chance: random.Random) -> None:
        self.effects = 0
        self.synced_bytes: dict[int, int] = {}  # by inode
        self._dies_at = dies_at
        self._chance = chance

    def write(self, descriptor: int, body: bytes) -> None:
        if self._is_last():
            super().write(descriptor, body[: self._chance.randrange(len(body) + 1)])
            raise Killed
        super().write(descriptor, body)

    def sync(self, descriptor: int) -> None:
        self._step(lambda: self._synced(descriptor))

    def cut(self, descriptor: int, size_bytes: int) -> None:
        self._step(lambda: super(MortalDisk, self).cut(descriptor, size_bytes))

    def rename(self, source: Path, target: Path) -> None:
        self._step(lambda: super(MortalDisk, self).rename(source, target))

    def _synced(self, descriptor: int) -> None:
        super().sync(descriptor)
        status = os.fstat(descriptor)
        self.synced_bytes[status.st_ino] = status.st_size

    def _step(self, do: Callable[[], None]) -> None:
        if self._is_last():
            if self._chance.random() < 0.5:
                do()
            raise Killed
        do()

    def _is_last(self) -> bool:
        self.effects += 1
        return self._dies_at is not None and self.effects == self._dies_at


class Use(NamedTuple):
    """A request that is over, or was running when its worker died: then it may have used all that was reserved."""

    at_s: float
    key: str
    tokens: int
    nano: int
    period: int


class Supervisor:
    """One life of the ledger's process."""

    def __init__(self, day: "Day", disk: MortalDisk) -> None:
        self.day = day
        self.is_dead = False
        self.workers: dict[int, Worker] = {}
        self.journal, records = open_journal(day.folder / "ledger.journal", disk)
        self.ledger = Ledger(Books(records))
        self.pending: list[bytes] = []
        self.to_tell: list[tuple[int, Answers]] = []

    def received(self, number: int, body: bytes) -> None:
        """As `LedgerServer` does: at once what needs no disk, the rest after the next write, together with others'."""
        if self.is_dead or number not in self.workers:
            return
        report = msgspec.msgpack.decode(body[4:], type=Report)
        outcome = self.ledger.report(number, report, self.day.now())
        if outcome.at_once:
            self.tell(number, Answers(outcome.at_once))
        if outcome.entry is not None:
            self.pending.append(msgspec.msgpack.encode(outcome.entry))
            self.to_tell.append((number, Answers(outcome.once_durable)))
            self.day.after(0.003, self.write)

    def write(self) -> None:
        if self.is_dead or not self.pending:
            return
        bodies, self.pending = self.pending, []
        to_tell, self.to_tell = self.to_tell, []
        if self.journal.size_bytes > JOURNAL_BYTES_MAX:
            self.journal.replace([self.ledger.books.snapshot(self.day.now().unix_s)])
        else:
            self.journal.append(bodies)
        for number, answers in to_tell:
            self.tell(number, answers)

    def tell(self, number: int, answers: Answers) -> None:
        worker = self.workers.get(number)
        if worker is not None:
            self.day.after(0.0003, lambda: worker.receive(framed(answers)[4:]))

    def die(self) -> None:
        self.is_dead = True
        self.journal.close()
        for worker in self.workers.values():
            worker.lose()


class Worker:
    """One life of a worker's process: `Link` and what runs in it."""

    is_full = False

    def __init__(self, day: "Day", supervisor: Supervisor, number: int) -> None:
        self.day = day
        self.supervisor = supervisor
        self.number = number
        self.is_dead = False
        self.running: dict[int, Held] = {}
        self.admission = LedgerAdmission(self, monotonic=lambda: day.at_s, unix=lambda: day.now().unix_s)
        supervisor.workers[number] = self
        supervisor.ledger.join(number)

    async def open(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._receive, self._lost = receive, lost

    def send(self, report: Report) -> None:
        body = framed(report)
        self.day.after(0.0003, lambda: self.supervisor.received(self.number, body))

    def close(self) -> None:
        return

    def receive(self, body: bytes) -> None:
        if not self.is_dead and not self.supervisor.is_dead:
            self._receive(body)

    def lose(self) -> None:
        if not self.is_dead:
            self._lost()

    def tick(self) -> None:
        if not self.is_dead:
            self.admission.tick()
            self.day.after(TICK_S, self.tick)

    def die(self) -> None:
        """What runs may have used all that was reserved for it."""
        if self.is_dead:
            return
        self.is_dead = True
        for held in self.running.values():
            self.day.note(held, held.tokens, held.needs[2])
        self.running.clear()
        if not self.supervisor.is_dead:
            del self.supervisor.workers[self.number]
            self.supervisor.ledger.leave(self.number, self.day.now())


class Day:
    """`routes` are followed by all. What happened is in `entered`, `uses`, `refusals`."""

    def __init__(self, folder: Path, routes: Routes, workers: int, seed: int) -> None:
        self.folder = folder
        self.routes = routes
        (self.route,) = routes.routes
        self.chance = random.Random(seed)
        self.at_s = 1000.0
        self.entered: list[tuple[float, str]] = []
        self.uses: list[Use] = []
        self.refusals: list[tuple[float, Refusal]] = []
        self.workers: list[Worker] = []
        self.supervisor: Supervisor | None = None
        self.worker_count = workers
        self._numbers = itertools.count(1)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now(self) -> Now:
        return Now(self.at_s, BOOT_S + self.at_s)

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.at_s + seconds, next(self._order), do))

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.is_dead]

    def plan(self, count: int, seconds: float, keys: list[str], tokens_max: int) -> None:
        """Requests at any moment, to any worker that is alive then."""
        chance = self.chance
        for _ in range(count):
            key, tokens, used = chance.choice(keys), chance.randint(1, tokens_max), chance.random()
            lasts_s = chance.random() * 0.5
            at_s = chance.random() * seconds
            self.after(at_s, lambda ask=(key, tokens, used, lasts_s): self._to_anyone(*ask))

    def _to_anyone(self, key: str, tokens_max: int, used: float, lasts_s: float) -> None:
        if workers := self.alive():
            self.request(self.chance.choice(workers), key, tokens_max, used, lasts_s)

    def note(self, held: Held, tokens: int, nano: int) -> None:
        self.uses.append(Use(self.at_s, held.key, tokens, nano, held.period))

    async def start(self, dies_at: int | None = None) -> None:
        """A supervisor and its workers; those of a former one that are still alive go on. Raises Killed."""
        self.disk = MortalDisk(dies_at, self.chance)
        self.supervisor = Supervisor(self, self.disk)
        for _ in range(self.worker_count):
            await self.add_worker()

    async def add_worker(self) -> None:
        assert self.supervisor is not None
        worker = Worker(self, self.supervisor, next(self._numbers))
        await worker.admission.start()
        cast("asyncio.Task[None]", worker.admission._ticking).cancel()  # the virtual clock ticks
        worker.tick()
        self.workers.append(worker)

    def request(self, worker: Worker, key: str, tokens_max: int, used: float, seconds: float) -> None:
        """It will use that share of what it reserves, at the end of that time."""
        if worker.is_dead:
            return
        answer = worker.admission.enter(
            self.routes, b"Bearer " + key.encode(), self.route, tokens_max, self.now().unix_s
        )
        if isinstance(answer, (Grant, Refusal)):
            self._answered(worker, answer, used, seconds)
        else:
            task = asyncio.ensure_future(answer)
            task.add_done_callback(
                lambda done: (
                    None if done.cancelled() else self._answered(worker, done.result(), used, seconds)
                )
            )

    def _answered(self, worker: Worker, answer: Grant | Refusal, used: float, seconds: float) -> None:
        if isinstance(answer, Refusal):
            self.refusals.append((self.at_s, answer))
            return
        assert isinstance(answer, Held)
        self.entered.append((self.at_s, answer.key))
        if worker.is_dead:
            self.note(answer, answer.tokens, answer.needs[2])
            return
        number = next(self._order)
        worker.running[number] = answer
        self.after(seconds, lambda: self._ended(worker, number, used))

    def _ended(self, worker: Worker, number: int, used: float) -> None:
        held = worker.running.pop(number, None)
        if held is None:
            return
        tokens = int(held.tokens * used)
        seconds, price = self.route.deadline_s * used, self.route.price
        worker.admission.leave(
            held, tokens_in=0, tokens_out=tokens, seconds=seconds, status=200, request_id="r"
        )
        usd = tokens * price.usd_per_token_out + seconds * price.usd_per_s
        self.note(held, tokens, int(usd * 1e9))

    async def run(self, until_s: float) -> None:
        """All that is on the agenda until then. Raises Killed where the disk's owner dies."""
        while self._agenda and self._agenda[0][0] <= until_s:
            self.at_s, _, do = heapq.heappop(self._agenda)
            do()
            await _callbacks()
        await _callbacks()
        self.at_s = max(self.at_s, until_s)

    def running(self) -> list[Held]:
        return [held for worker in self.workers for held in worker.running.values()]

    def lose_unsynced(self, disk: MortalDisk) -> None:
        """The machine lost its memory: what was not synced is there in part, or not at all."""
        path = self.folder / "ledger.journal"
        status = path.stat()
        synced_bytes = disk.synced_bytes.get(status.st_ino, 0)
        if status.st_size > synced_bytes:
            os.truncate(path, self.chance.randint(synced_bytes, status.st_size))


async def _callbacks() -> None:
    """Those of the loop, and theirs."""
    for _ in range(3):
        await asyncio.sleep(0)
