"""A steady stream of requests that notes what fails, and when: serve_steady.py URL KEY MODEL RATE CONNECTIONS

Until SIGTERM; then prints as JSON how many were answered, their latencies, and every failure.
"""

import asyncio
import json
import signal
import sys
import time
from urllib.parse import urlsplit

import httptools
import uvloop

NOTED_MAX = 1000


class Told:
    """What all connections saw. `failures` are (instant, what)."""

    def __init__(self) -> None:
        self.answered = 0
        self.by_replica: dict[str, int] = {}
        self.latencies_s: list[float] = []
        self.failures: list[tuple[float, str]] = []
        self.ends = False

    def fail(self, what: str) -> None:
        if len(self.failures) < NOTED_MAX:
            self.failures.append((time.time(), what))


class Client(asyncio.Protocol):
    """One request after another, each at its time; opens itself again where it was closed."""

    def __init__(
        self, told: Told, address: tuple[str, int], request: bytes, every_s: float, first_s: float
    ) -> None:
        self.told, self.address, self.request, self.every_s = told, address, request, every_s
        self.next_s = time.monotonic() + first_s
        self.loop = asyncio.get_running_loop()
        self.began_s: float | None = None
        self.planned: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.parser = httptools.HttpResponseParser(self)

    async def open(self) -> None:
        try:
            await self.loop.create_connection(lambda: self, *self.address)
        except OSError as error:
            self.told.fail(f"cannot connect: {error}")
            self.loop.call_later(0.1, self._open_again)

    def _open_again(self) -> None:
        self.opening = self.loop.create_task(self.open())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # pyright: ignore[reportAttributeAccessIssue]
        self.parser = httptools.HttpResponseParser(self)
        self._plan()

    def _plan(self) -> None:
        if not self.told.ends:
            self.planned = self.loop.call_later(max(0.0, self.next_s - time.monotonic()), self._ask)
            self.next_s = max(self.next_s + self.every_s, time.monotonic() - 1.0)

    def _ask(self) -> None:
        if self.told.ends or self.transport is None or self.transport.is_closing():
            return
        self.began_s = time.monotonic()
        self.body = b""
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert self.began_s is not None
        self.told.latencies_s.append(time.monotonic() - self.began_s)
        self.began_s = None
        status = self.parser.get_status_code()
        if status == 200:
            self.told.answered += 1
            replica = json.loads(self.body).get("replica", "")
            self.told.by_replica[replica] = self.told.by_replica.get(replica, 0) + 1
        else:
            self.told.fail(f"{status} {self.body[:200].decode(errors='replace')}")
        self._plan()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.planned is not None:
            self.planned.cancel()  # on its next connection it plans anew
        if self.began_s is not None:
            self.told.fail(f"connection lost: {exc}")
            self.began_s = None
        if not self.told.ends:
            self._open_again()


async def main(url: str, key: str, model: str, rate: float, connections: int) -> None:
    parts = urlsplit(url)
    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "How long?"}], "max_tokens": 4}
    )
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()
    told = Told()
    every_s = connections / rate
    for i in range(connections):
        client = Client(told, (parts.hostname or "", parts.port or 80), request, every_s, i / rate)
        await client.open()
    ends = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.set)
    await ends.wait()
    told.ends = True
    await asyncio.sleep(1.0)  # what is in flight is answered
    times_s = sorted(told.latencies_s)
    print(
        json.dumps(
            {
                "answered": told.answered,
                "p50_ms": 1000 * times_s[len(times_s) // 2],
                "p99_ms": 1000 * times_s[int(len(times_s) * 0.99)],
                "max_ms": 1000 * times_s[-1],
                "by_replica": told.by_replica,
                "failures": told.failures,
            }
        )
    )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5])))
