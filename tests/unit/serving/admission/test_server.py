"""The ledger at work: real sockets, a real folder, its own event loop."""

import asyncio
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.property.serving.gateway_days import CHAT, key_of

from suanli.domain.errors import Conflict
from suanli.serving.admission import server as server_module
from suanli.serving.admission.journal import open_journal
from suanli.serving.admission.ledger import Now
from suanli.serving.admission.link import SocketLink
from suanli.serving.admission.server import JOURNAL, LedgerServer, ledger_of
from suanli.serving.admission.usage import Counted, Hour, hours_in, path_of, read_hour
from suanli.serving.admission.worker import LedgerAdmission
from suanli.serving.gateway.admission_port import Grant, Refusal
from suanli.serving.gateway.routes import Routes

KEYS = (key_of("rich", budget_usd=1000.0), key_of("free"), key_of("slow", requests_per_s=1000))
ROUTES = Routes(version=1, routes=(CHAT,), keys=KEYS)


async def worker_of(ledger: LedgerServer) -> LedgerAdmission:
    worker = LedgerAdmission(SocketLink(await ledger.attach()))
    await worker.start()
    return worker


async def ask(worker: LedgerAdmission, key: str) -> Grant | Refusal:
    answer = worker.enter(ROUTES, b"Bearer " + key.encode(), CHAT, 10, time.time())
    return answer if isinstance(answer, (Grant, Refusal)) else await answer


async def use(worker: LedgerAdmission, key: str, count: int = 1) -> None:
    for _ in range(count):
        grant = await ask(worker, key)
        assert isinstance(grant, Grant), grant
        worker.leave(grant, tokens_in=1, tokens_out=2, seconds=0.1, status=200, request_id="r", revision=1)


def requests_told(folder: Path) -> int:
    hours = [read_hour(folder, number) for number in hours_in(folder)]
    return sum(row.requests for hour in hours if hour is not None for row in hour.rows)


def test_what_was_used_is_told_in_files_that_go_on_over_restarts(tmp_path: Path) -> None:
    async def live(count: int) -> None:
        async with ledger_of(tmp_path) as ledger:
            workers = [await worker_of(ledger) for _ in range(2)]
            for worker in workers:
                await use(worker, "free", count)
                await use(worker, "rich", count)
                await worker.stop()

    asyncio.run(live(3))
    assert requests_told(tmp_path) == 12
    (first,) = [read_hour(tmp_path, number) for number in hours_in(tmp_path)]
    asyncio.run(live(1))
    assert requests_told(tmp_path) == 16
    second = read_hour(tmp_path, hours_in(tmp_path)[0])
    assert first is not None
    assert second is not None
    assert second.seq > first.seq
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}


def test_one_folder_has_one_ledger(tmp_path: Path) -> None:
    async def live() -> None:
        async with ledger_of(tmp_path):
            with pytest.raises(Conflict):
                async with ledger_of(tmp_path):
                    pass

    asyncio.run(live())


def test_where_the_disk_is_full_only_budgets_wait_and_they_go_on_when_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "DISK_RETRY_S", 0.02)
    write = os.write

    def full(descriptor: int, body: Any) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(tmp_path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, body)

    async def live() -> None:
        async with ledger_of(tmp_path) as ledger:
            worker = await worker_of(ledger)
            monkeypatch.setattr(os, "write", full)
            rich = asyncio.ensure_future(use(worker, "rich"))
            await use(worker, "slow")
            await use(worker, "free")
            await asyncio.sleep(0.1)
            assert not rich.done()
            monkeypatch.setattr(os, "write", write)
            await rich
            await worker.stop()

    asyncio.run(live())
    assert requests_told(tmp_path) == 3
    assert open_journal(tmp_path / JOURNAL)[1]


def test_a_long_journal_begins_anew_and_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "JOURNAL_BYTES_MAX", 500)

    async def live() -> None:
        async with ledger_of(tmp_path) as ledger:
            worker = await worker_of(ledger)
            for _ in range(40):
                await use(worker, "rich")
                worker.tick()
                await asyncio.sleep(0.002)
            await worker.stop()

    asyncio.run(live())
    assert (tmp_path / JOURNAL).stat().st_size < 8_000
    asyncio.run(live())
    assert requests_told(tmp_path) == 80


def test_an_hour_that_is_over_is_forgotten_and_goes_on_from_its_file_if_the_clock_goes_back(
    tmp_path: Path,
) -> None:
    hours = [500_000.5]

    def now() -> Now:
        return Now(time.monotonic(), hours[0] * 3600.0)

    async def live() -> None:
        async with ledger_of(tmp_path, now=now) as ledger:
            worker = await worker_of(ledger)
            for hour in (500_000.5, 500_001.5, 500_000.9):
                hours[0] = hour
                await use(worker, "free")
                worker.tick()
                await until(lambda: asked(ledger, int(hours[0])))
                await ledger.publish()
            await worker.stop()

    asyncio.run(live())
    told = {
        number: hour.rows[0].requests
        for number in hours_in(tmp_path)
        if (hour := read_hour(tmp_path, number))
    }
    assert told == {500_000: 2, 500_001: 1}


def asked(ledger: LedgerServer, hour: int) -> bool:
    return hour in ledger._ledger.books.hours


def test_usage_goes_on_from_the_file_though_the_journal_was_lost(tmp_path: Path) -> None:
    hour = int(time.time() // 3600)
    row = Counted(key="free", team="default", service="chat", revision=1, requests=5)
    path_of(tmp_path, hour).parent.mkdir()
    path_of(tmp_path, hour).write_bytes(msgspec.json.encode(Hour(number=hour, seq=900, rows=(row,))))

    async def live() -> None:
        async with ledger_of(tmp_path) as ledger:
            worker = await worker_of(ledger)
            await use(worker, "free")
            await worker.stop()

    asyncio.run(live())
    assert requests_told(tmp_path) == 6
    told = read_hour(tmp_path, hours_in(tmp_path)[-1])
    assert told is not None
    assert told.seq > 900


def test_what_is_no_report_cuts_its_sender_off_and_nobody_else(tmp_path: Path) -> None:
    async def live() -> None:
        async with ledger_of(tmp_path) as ledger:
            for junk in (b"\x04\x00\x00\x00junk", b"\xff\xff\xff\xff"):
                stranger = await ledger.attach()
                stranger.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(stranger, junk)
                assert await loop.sock_recv(stranger, 1) == b""
                stranger.close()
            worker = await worker_of(ledger)
            await use(worker, "slow")
            await worker.stop()

    asyncio.run(live())


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.002)


def test_a_worker_that_says_nonsense_is_cut_off_and_learns_of_it_so_that_another_takes_its_place(
    tmp_path: Path,
) -> None:
    async def live() -> None:
        async with ledger_of(tmp_path) as ledger:
            cut_off, ended = asyncio.Event(), asyncio.Event()
            connection = await ledger.attach()
            worker = LedgerAdmission(SocketLink(connection), cut_off=cut_off.set)
            with connection.dup() as same:
                await worker.start()
                same.send(b"\xff" * 8)  # a frame beyond all bounds
            async with asyncio.timeout(20):
                await cut_off.wait()
            assert isinstance(await ask(worker, "slow"), Refusal)
            await worker.stop()
            another = LedgerAdmission(SocketLink(await ledger.attach()), cut_off=ended.set)
            await another.start()
            await use(another, "slow")
            await another.stop()
            assert not ended.is_set(), "who ends by itself is not cut off"

    asyncio.run(live())
