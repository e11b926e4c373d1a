"""A service's replica that only waits: python serve_replica.py [--wait SECONDS] [--fail SHARE] [--at-once N]

Listens on $PORT; `/healthz` is answered at once, everything else after the wait, `N` at a time, and of every so many
requests one with 500. On SIGTERM it answers what it has, then ends.
"""

import argparse
import asyncio
import os
import signal

import httptools
import uvloop

WELL = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Served:
    """What all connections share."""

    def __init__(self, wait_s: float, fail: float, at_once: int) -> None:
        self.wait_s, self.fail = wait_s, fail
        self.turns = asyncio.Semaphore(at_once)
        self.asked = 0
        self.busy = 0
        self.idle = asyncio.Event()
        self.ends = False
        body = b'{"replica":"%b","usage":{"prompt_tokens":9,"completion_tokens":12}}' % (
            os.environ.get("SUANLI_REPLICA", "?").encode()
        )
        head = "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
        self.good = head.format("200 OK", len(body)).encode() + body
        self.bad = head.format("500 Internal Server Error", len(body)).encode() + body

    async def answer(self) -> bytes:
        self.asked += 1
        number = self.asked
        if self.wait_s:
            async with self.turns:
                await asyncio.sleep(self.wait_s)
        fails = int(number * self.fail) > int((number - 1) * self.fail)
        return self.bad if fails else self.good


class Connection(asyncio.Protocol):
    """One request at a time, as a gateway's connections have it."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.path = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.path = url

    def on_message_complete(self) -> None:
        if self.path == b"/healthz":
            self.transport.write(WELL)  # pyright: ignore[reportAttributeAccessIssue]
            return
        self.served.busy += 1
        self.task = asyncio.get_running_loop().create_task(self.serve())

    async def serve(self) -> None:
        answer = await self.served.answer()
        self.transport.write(answer)  # pyright: ignore[reportAttributeAccessIssue]
        self.served.busy -= 1
        if self.served.ends and not self.served.busy:
            self.served.idle.set()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wait", type=float, default=0.0)
    parser.add_argument("--fail", type=float, default=0.0)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--name", default="", help="only tells one revision from another")
    given = parser.parse_args()
    served = Served(given.wait, given.fail, given.at_once)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(served), "127.0.0.1", int(os.environ["PORT"]))
    ends = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ends.set)
    await ends.wait()
    server.close()
    served.ends = True
    if served.busy:
        await served.idle.wait()


if __name__ == "__main__":
    uvloop.run(main())
