"""Keys, limits and budgets through a real gateway of two worker processes, some of which are killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from street import Answer, Client, post, route, run, target

from suanli.credentials.keys import new_key
from suanli.serving.admission.usage import hours_in, read_hour
from suanli.serving.gateway.routes import Key, Price, Revision, Route, Routes
from suanli.serving.gateway.routes_file import write_routes
from suanli.serving.gateway.stats import WorkerStats
from suanli.serving.gateway.supervisor import Running

ASK = b'{"model":"chat","messages":[],"max_tokens":10}'
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":10}}'
OUT_USD = 1e-4
WORKERS = 2


class Upstream:
    """A replica that answers every request at once, and counts them."""

    def __init__(self) -> None:
        self.served = 0
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(
                    int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                )
                self.served += 1
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (len(ANSWER), ANSWER)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.writers.discard(writer)
            writer.close()


@asynccontextmanager
async def upstream() -> AsyncIterator[tuple[Upstream, int]]:
    there = Upstream()
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    try:
        yield there, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in list(there.writers):
            writer.transport.abort()


class Gateway:
    """A gateway's processes, which can be killed and started again over the same folder."""

    def __init__(self, folder: Path, routes: Routes) -> None:
        self.folder = folder
        self.routes = routes
        write_routes(folder, routes)

    async def start(self) -> None:
        for old in self.folder.glob("*.json"):
            if old.name != "routes.json":
                old.unlink()
        argv = ["-m", "suanli.serving.gateway", "--dir", str(self.folder), "--workers", str(WORKERS)]
        self.process = subprocess.Popen(  # noqa: ASYNC220 - a few milliseconds
            [sys.executable, *argv], stderr=subprocess.DEVNULL
        )
        await until(lambda: len(self.workers()) == WORKERS)
        told = (self.folder / "gateway.json").read_bytes()
        self.port = msgspec.json.decode(told, type=Running).port

    def workers(self) -> list[WorkerStats]:
        """Those that follow the routes."""
        told = [
            msgspec.json.decode(path.read_bytes(), type=WorkerStats)
            for path in self.folder.glob("worker-*.json")
        ]
        return [stats for stats in told if stats.routes_version == self.routes.version]

    async def ask(self, secret: str) -> Answer:
        """Over a connection of its own, so that any worker may get it."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            client.send(post(ASK, headers=f"authorization: Bearer {secret}\r\n"))
            return await client.answer()
        finally:
            client.close()

    async def ended(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        await until(lambda: self.process.poll() is not None)


async def until(holds: Any, within_s: float = 60.0) -> None:
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.02)


@asynccontextmanager
async def started(folder: Path, told: Route, *keys: Key) -> AsyncIterator[Gateway]:
    gateway = Gateway(folder, Routes(version=1, routes=(told,), keys=keys))
    await gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()


def test_who_may_not_is_told_why_in_the_words_of_openais_api(tmp_path: Path) -> None:
    async def test() -> None:
        (limited, one), (elsewhere, two), (late, three) = new_key(), new_key(), new_key()
        keys = (
            Key(name="limited", digest=one, requests_per_s=0.01),
            Key(name="elsewhere", digest=two, services=("embed",)),
            Key(name="late", digest=three, expires_s=time.time() - 1),
        )
        async with upstream() as (there, port), started(tmp_path, route(port), *keys) as gateway:
            told = [
                await gateway.ask(secret) for secret in ("sk-suanli-guess", late, elsewhere, limited, limited)
            ]
            codes = [(a.status, msgspec.json.decode(a.body).get("error", {}).get("code")) for a in told]
            assert codes == [
                (401, "invalid_api_key"),
                (401, "expired_api_key"),
                (404, "model_not_found"),
                (200, None),
                (429, "rate_limit_exceeded"),
            ]
            headers = told[-1].headers
            assert headers["x-ratelimit-limit-requests"] == "1"
            assert headers["x-ratelimit-remaining-requests"] == "0"
            assert 10 < int(headers["retry-after"]) <= 101  # whole seconds, rounded up
            assert int(headers["retry-after"]) == -(-int(headers["retry-after-ms"]) // 1000)
            assert there.served == 1

    run(test())


def test_two_workers_together_keep_to_one_limit(tmp_path: Path) -> None:
    async def test() -> None:
        secret, digest = new_key()
        key = Key(name="busy", digest=digest, requests_per_s=50)
        async with upstream() as (there, port), started(tmp_path, route(port), key) as gateway:
            statuses: Counter[int] = Counter()
            began_s = time.monotonic()

            async def ask_on() -> None:
                while time.monotonic() < began_s + 3.0:
                    statuses[(await gateway.ask(secret)).status] += 1

            await asyncio.gather(*(ask_on() for _ in range(4)))
            allowed = 50 * (time.monotonic() - began_s)
            assert statuses.keys() == {200, 429}
            assert 0.5 * allowed <= statuses[200] <= allowed * (1 + 0.01 * WORKERS)
            assert there.served == statuses[200]
            at_work = [stats.services["chat"].arrived for stats in gateway.workers()]
            assert all(at_work), at_work  # both had their part

    run(test())


def test_killed_workers_and_supervisors_overspend_no_budget_and_what_was_used_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        secret, digest = new_key()
        budget_usd = 0.6
        key = Key(name="team", digest=digest, team="red", budget_usd=budget_usd, budget_period_s=30 * 86400.0)
        price = Price(usd_per_token_out=OUT_USD, watts=100.0)
        async with upstream() as (there, port):
            told = route(revisions=(Revision(number=3, share=1.0, targets=(target(port),)),), price=price)
            async with started(tmp_path, told, key) as gateway:
                statuses: Counter[int] = Counter()

                async def ask(count: int) -> None:
                    for _ in range(count):
                        try:
                            statuses[(await gateway.ask(secret)).status] += 1
                        except (ConnectionError, asyncio.IncompleteReadError):
                            statuses[0] += 1

                async def load() -> None:
                    await asyncio.gather(*(ask(30) for _ in range(4)))

                asking = asyncio.create_task(load())
                await until(lambda: statuses[200] > 40)
                os.kill(gateway.workers()[0].pid, signal.SIGKILL)
                await asking
                asking = asyncio.create_task(load())
                served = statuses[200] + 40
                await until(lambda: statuses[200] > served)
                await gateway.ended(signal.SIGKILL)
                await asking
                await gateway.start()
                await load()
                while (answer := await gateway.ask(secret)).status != 429:
                    assert answer.status == 200, answer.body
                assert msgspec.json.decode(answer.body)["error"]["code"] in (
                    "budget_exhausted",
                    "budget_reserved",
                )
                spent_usd = there.served * 10 * OUT_USD
                assert 0.8 * budget_usd < spent_usd <= budget_usd
                await gateway.ended(signal.SIGTERM)
                rows = [
                    row
                    for hour in hours_in(tmp_path)
                    for row in getattr(read_hour(tmp_path, hour), "rows", ())
                ]
                assert {(row.key, row.team, row.service) for row in rows} == {("team", "red", "chat")}
                done = [row for row in rows if row.revision == 3]
                counted = sum(row.requests for row in done)
                assert 0.5 * there.served < counted <= there.served
                assert sum(row.tokens_out for row in done) == 10 * counted
                assert sum(row.nano_usd for row in done) == counted * 10 * round(OUT_USD * 1e9)

    run(test())
