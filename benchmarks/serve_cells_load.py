"""A replica that takes as long as it is told, and a client that asks at given instants.

python serve_cells_load.py replica SPEED           listens on $PORT, or any and prints it; GET .../hold/SECONDS is
                                                   answered after SECONDS / SPEED, one request at a time
python serve_cells_load.py client PORT FILE [KEY]  asks as FILE says (`Asked`), prints what came of it (`Told`)
"""

import asyncio
import os
import queue
import sys
import threading
import time
from pathlib import Path

import httptools
import msgspec
from serve_load import KEY
from stalls import Beat

CONNECTIONS = 64
"""Open before the first request; more are opened where all are in use."""


class Asked(msgspec.Struct):
    """Of one cell: when to ask, in seconds from the start, ascending, and for how long a replica shall work."""

    service: str
    arrive_s: list[float]
    work_s: list[float]


class Told(msgspec.Struct):
    """Of one cell, by request: status (0: its connection broke), how long after it was sent the answer was there, when
    it was sent, and how long the replica was held (0 where no replica answered). `late_s`: how late the timers of
    the client and of those replicas that tell were at most."""

    status: list[int]
    latency_s: list[float]
    sent_s: list[float]
    held_s: list[float]
    late_s: float = 0.0


# --- the replica


class Worker(threading.Thread):
    """Works on one request at a time, in the order in which they came. It sleeps: timers of event loops are late by up
    to a millisecond, which would be the largest error of all."""

    def __init__(self, speed: float, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self.speed = speed
        self.loop = loop
        self.queue: queue.SimpleQueue[tuple[Replica, float]] = queue.SimpleQueue()

    def run(self) -> None:
        while True:
            asker, work_s = self.queue.get()
            began_s = time.perf_counter()
            time.sleep(work_s / self.speed)
            self.loop.call_soon_threadsafe(asker.answer, time.perf_counter() - began_s)


class Replica(asyncio.Protocol):
    def __init__(self, worker: Worker, beat: Beat) -> None:
        self.worker = worker
        self.beat = beat

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.work_s = 0.0 if url == b"/healthz" else float(url.rpartition(b"/")[2])

    def on_message_complete(self) -> None:
        self.worker.queue.put((self, self.work_s))

    def answer(self, held_s: float) -> None:
        body = b"%.7f %.7f" % (held_s, self.beat.worst_s)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)  # pyright: ignore[reportAttributeAccessIssue]


async def replica(speed: float) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(speed, loop)
    worker.start()
    beat = Beat()
    server = await loop.create_server(
        lambda: Replica(worker, beat), "127.0.0.1", int(os.environ.get("PORT", "0"))
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    beat.begin()
    await server.serve_forever()


# --- the client


class Client(asyncio.Protocol):
    """A connection, for one request at a time."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.cell = self.number = 0
        self.body = b""
        self.asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)

    def ask(self, cell: int, number: int, message: bytes) -> None:
        self.cell, self.number, self.body, self.asking = cell, number, b"", True
        self.load.told[cell].sent_s[number] = time.perf_counter() - self.load.began_s
        self.transport.write(message)  # pyright: ignore[reportAttributeAccessIssue]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.asking = False
        self.load.answered(self, self.parser.get_status_code())

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.load.idle:
            self.load.idle.remove(self)
        if self.asking:
            self.load.over_with(self, 0)


class Load:
    """Asks at its instants, whatever has been answered by then."""

    def __init__(self, port: int, key: bytes, cells: list[Asked]) -> None:
        self.port = port
        self.key = key
        self.told = [_untold(len(cell.arrive_s)) for cell in cells]
        self.cells = cells
        self.plan = sorted(
            (at_s, c, n) for c, cell in enumerate(cells) for n, at_s in enumerate(cell.arrive_s)
        )
        self.next = 0
        self.left = len(self.plan)
        self.idle: list[Client] = []
        self.opening: set[asyncio.Task[None]] = set()
        self.over = asyncio.Event()
        self.beat = Beat()

    async def open(self) -> Client:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
        return client

    async def run(self) -> None:
        self.idle = [await self.open() for _ in range(CONNECTIONS)]
        self.began_s = time.perf_counter() + 0.1
        self.beat.begin()
        self.send_due()
        await self.over.wait()
        for told in self.told:
            told.late_s = max(told.late_s, self.beat.worst_s)

    def send_due(self) -> None:
        now_s = time.perf_counter() - self.began_s
        while self.next < len(self.plan) and self.plan[self.next][0] <= now_s:
            self.send(*self.plan[self.next][1:])
            self.next += 1
        if self.next < len(self.plan):
            asyncio.get_running_loop().call_later(self.plan[self.next][0] - now_s, self.send_due)

    def send(self, cell: int, number: int) -> None:
        asked = self.cells[cell]
        message = (
            b"GET /services/%b/hold/%.7f HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %b\r\n\r\n"
            % (asked.service.encode(), asked.work_s[number], self.key)
        )
        if self.idle:
            self.idle.pop().ask(cell, number, message)
        else:
            task = asyncio.get_running_loop().create_task(self.send_anew(cell, number, message))
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)

    async def send_anew(self, cell: int, number: int, message: bytes) -> None:
        (await self.open()).ask(cell, number, message)

    def answered(self, client: Client, status: int) -> None:
        self.idle.append(client)
        self.over_with(client, status)

    def over_with(self, client: Client, status: int) -> None:
        told, number = self.told[client.cell], client.number
        told.latency_s[number] = time.perf_counter() - self.began_s - told.sent_s[number]
        told.status[number] = status
        if status == 200:
            held_s, *late_s = map(float, client.body.split())
            told.held_s[number], told.late_s = held_s, max(told.late_s, *late_s)
        self.left -= 1
        if not self.left:
            self.over.set()


def _untold(count: int) -> Told:
    return Told([0] * count, [0.0] * count, [0.0] * count, [0.0] * count)


async def client(port: int, key: bytes, asked: list[Asked]) -> None:
    load = Load(port, key, asked)
    await load.run()
    sys.stdout.buffer.write(msgspec.json.encode(load.told))


if __name__ == "__main__":
    if sys.argv[1] == "replica":
        asyncio.run(replica(float(sys.argv[2])))
    else:
        told = msgspec.json.decode(Path(sys.argv[3]).read_bytes(), type=list[Asked])
        key = sys.argv[4].encode() if sys.argv[4:] else KEY
        asyncio.run(client(int(sys.argv[2]), key, told))
