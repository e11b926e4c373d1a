"""What keys, limits, budgets and metering cost in one worker of the gateway, by the number of keys.

enter_leave_us   a request of a key with all three limits, admitted from slices that are at hand
cpu_us           the same with all that goes on beside it: leases, settlements, ticks, and the ledger's part
refuse_us        a request over its limit
asked_us         a request for which the ledger is asked, until it is admitted (p50)
first_ms, next_ms   taking the first routes, and routes in which one key has changed
"""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from suanli.serving.admission.link import SocketLink
from suanli.serving.admission.server import ledger_of
from suanli.serving.admission.worker import LedgerAdmission
from suanli.serving.gateway.admission_port import Grant, Refusal
from suanli.serving.gateway.routes import Key, Price, Route, Routes

REQUESTS = 100_000
PAUSE_EVERY = 500
"""Requests between two turns of the event loop."""

Row = dict[str, str | int | float]


def measure() -> Iterator[Row]:
    for keys, services in ((10, 10), (10_000, 1000)):
        with tempfile.TemporaryDirectory() as folder:
            yield asyncio.run(_measured(Path(folder), keys, services))


async def _measured(folder: Path, keys: int, services: int) -> Row:
    routes = _routes(keys, services)
    async with ledger_of(folder) as ledger:
        worker = LedgerAdmission(SocketLink(await ledger.attach()))
        await worker.start()
        first_s = _seconds_of(worker, routes)
        asked_us = [await _asked_us(worker, routes, number) for number in range(keys)]
        began_s, cpu_s, fast_s, fast = time.perf_counter(), time.process_time(), 0.0, 0
        for number in range(0, REQUESTS, PAUSE_EVERY):
            seconds, count = _fast(worker, routes, number)
            fast_s, fast = fast_s + seconds, fast + count
            await asyncio.sleep(0)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - began_s
        refuse_us = await _refused_us(worker, routes)
        changed = msgspec.structs.replace(
            routes, keys=(*routes.keys[:-1], msgspec.structs.replace(routes.keys[-1], team="other"))
        )
        next_s = _seconds_of(worker, changed)
        await worker.stop()
    return {
        "keys": keys,
        "services": services,
        "enter_leave_us": round(fast_s / fast * 1e6, 2),
        "cpu_us": round(cpu_s / REQUESTS * 1e6, 2),
        "refuse_us": round(refuse_us, 2),
        "asked_us": round(sorted(asked_us)[len(asked_us) // 2], 1),
        "first_ms": round(first_s * 1e3, 2),
        "next_ms": round(next_s * 1e3, 2),
        "at_hand": round(fast / REQUESTS, 3),
        "per_s": round(REQUESTS / wall_s),
    }


def _routes(keys: int, services: int) -> Routes:
    price = Price(usd_per_token_in=1e-7, usd_per_token_out=1e-6, usd_per_s=1e-4, watts=100.0)
    told = tuple(
        Route(service=f"s{number}", models=(f"s{number}",), price=price, deadline_s=10.0)
        for number in range(services)
    )
    limited = tuple(
        Key(
            name=f"k{number}",
            digest=_digest(number),
            requests_per_s=1e5,
            tokens_per_min=1e8,
            budget_usd=1e4,
        )
        for number in range(keys)
    )
    poor = Key(name="poor", digest=_digest(-1), requests_per_s=1)
    return Routes(version=1, routes=told, keys=(*limited, poor))


def _digest(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def _seconds_of(worker: LedgerAdmission, routes: Routes) -> float:
    began_s = time.perf_counter()
    worker.visible(routes, b"Bearer 0", 0.0)
    return time.perf_counter() - began_s


async def _asked_us(worker: LedgerAdmission, routes: Routes, number: int) -> float:
    began_s = time.perf_counter()
    service = routes.routes[number % len(routes.routes)]
    answer = worker.enter(routes, b"Bearer %d" % number, service, 100, 1.0)
    grant = answer if isinstance(answer, (Grant, Refusal)) else await answer
    took_s = time.perf_counter() - began_s
    assert isinstance(grant, Grant)
    _leave(worker, grant)
    return took_s * 1e6


def _fast(worker: LedgerAdmission, routes: Routes, number: int) -> tuple[float, int]:
    """CPU seconds for those requests, and how many found their slices at hand."""
    count = 0
    keys = len(routes.keys) - 1
    asks = [
        (b"Bearer %d" % (at % keys), routes.routes[at % len(routes.routes)])
        for at in range(number, number + PAUSE_EVERY)
    ]
    began_s = time.thread_time()
    for sent, service in asks:
        answer = worker.enter(routes, sent, service, 100, 1.0)
        if isinstance(answer, Grant):
            _leave(worker, answer)
            count += 1
        elif not isinstance(answer, Refusal):
            asyncio.ensure_future(_later(worker, answer))  # noqa: RUF006 - it is over in the next turn
    return time.thread_time() - began_s, count


async def _later(worker: LedgerAdmission, answer: object) -> None:
    grant = await answer  # pyright: ignore[reportGeneralTypeIssues]
    if isinstance(grant, Grant):
        _leave(worker, grant)


async def _refused_us(worker: LedgerAdmission, routes: Routes) -> float:
    count, spent_s = 0, 0.0
    while count < 1000:
        began_s = time.perf_counter()
        answer = worker.enter(routes, b"Bearer -1", routes.routes[0], 100, 1.0)
        if isinstance(answer, Refusal):
            spent_s, count = spent_s + time.perf_counter() - began_s, count + 1
        elif isinstance(answer, Grant):
            _leave(worker, answer)
        else:
            await _later(worker, answer)
    return spent_s / count * 1e6


def _leave(worker: LedgerAdmission, grant: Grant) -> None:
    worker.leave(
        grant, tokens_in=10, tokens_out=10, seconds=0.01, status=200, request_id="request-1", revision=1
    )


if __name__ == "__main__":
    for row in measure():
        print(row, flush=True)
