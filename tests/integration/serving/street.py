"""A gateway, replicas and clients on real sockets of one event loop, for tests that watch every byte."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httptools
import uvloop

from suanli.serving.gateway.admission_port import Admission, OpenAdmission
from suanli.serving.gateway.gateway import Gateway
from suanli.serving.gateway.routes import Revision, Route, Routes, Target
from suanli.serving.gateway.server import ClientConnection
from suanli.serving.gateway.service import WHOLE, Part


def run(test: Coroutine[Any, Any, None]) -> None:
    """A test as a coroutine, on the loop that the gateway uses; no longer than it should take."""

    async def bounded() -> None:
        async with asyncio.timeout(100):
            await test

    uvloop.run(bounded())


class Request:
    """What a replica got."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = first.split(" ")
        named = [line.partition(": ") for line in lines if line]
        self.raw_headers = [(name, value) for name, _, value in named]
        self.headers: dict[str, str] = dict(self.raw_headers)
        self.body = b""


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class Replica:
    """Does with each request what `handler` does. `closed` counts connections that ended."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[Request] = []
        self.connections = 0
        self.closed = asyncio.Semaphore(0)
        self.port = 0
        self.server: asyncio.Server | None = None
        self.writers: set[asyncio.StreamWriter] = set()

    async def open(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        first = b""
        try:
            while True:
                request = Request(first + (await reader.readuntil(b"\r\n\r\n"))[:-4])
                request.body = await reader.readexactly(int(request.headers.get("content-length", 0)))
                self.requests.append(request)
                answering = asyncio.ensure_future(self.handler(request, writer))
                gone = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    answering.cancel()
                    break
                await answering
                if not gone.done():
                    gone.cancel()
                    await asyncio.wait({gone})
                first = b"" if gone.cancelled() else gone.result()
                if not gone.cancelled() and not first:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.writers.discard(writer)
            self.closed.release()
            writer.close()


def whole(
    body: bytes, *, status: str = "200 OK", headers: str = "", after: asyncio.Event | None = None
) -> Handler:
    """Answers with that body."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if after is not None:
            await after.wait()
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        writer.write(head.encode() + (b"" if request.method == "HEAD" else body))

    return answer


@asynccontextmanager
async def replica(handler: Handler) -> AsyncIterator[Replica]:
    opened = Replica(handler)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


_versions = itertools.count(1)


def target(port: int, key: str = "chat/0", attempt: int = 1) -> Target:
    return Target(key=key, attempt=attempt, host="127.0.0.1", port=port)


def route(*ports: int, **fields: Any) -> Route:
    """A service `chat` with a replica at each port."""
    targets = tuple(target(port, f"chat/{index}") for index, port in enumerate(ports))
    fields.setdefault("revisions", (Revision(number=1, share=1.0, targets=targets),))
    return Route(**{"service": "chat", "models": ("chat", "gpt-small"), **fields})


def routes(*told: Route, **fields: Any) -> Routes:
    return Routes(**{"version": next(_versions), "routes": told, "open_to_all": True, **fields})


class Street:
    """A gateway that listens on `port`."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway = gateway
        self.port = port

    def follow(self, *told: Route) -> None:
        self.gateway.follow(routes(*told))

    async def client(self) -> "Client":
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, message: bytes) -> "Answer":
        """One request over a connection of its own, and its answer."""
        client = await self.client()
        client.send(message)
        answer = await client.answer(head_only=message.startswith(b"HEAD"))
        client.close()
        return answer


@asynccontextmanager
async def gateway(
    *told: Route, admission: Admission | None = None, part: Part = WHOLE
) -> AsyncIterator[Street]:
    loop = asyncio.get_running_loop()
    opened = Gateway(loop, admission or OpenAdmission(), part, lambda: b"")
    opened.follow(routes(*told))
    server = await loop.create_server(lambda: ClientConnection(opened, loop), "127.0.0.1", 0)
    ticking = asyncio.ensure_future(_tick(opened))
    try:
        yield Street(opened, server.sockets[0].getsockname()[1])
    finally:
        ticking.cancel()
        server.close()
        for client in list(opened.clients):
            client.transport.abort()


async def _tick(opened: Gateway) -> None:
    while True:
        opened.pump()
        opened.sweep()
        await asyncio.sleep(0.02)


class Answer:
    """`complete`: it came to the end that its head promised."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.received = 0
        self.complete = False
        self.closed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        assert name.decode().lower() not in self.headers, f"{name!r} twice"
        self.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)
        self.received += len(body)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def on_message_complete(self) -> None:
        self.complete = True


class Client:
    """A connection to a gateway, written to and read from as a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rest = b""

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def close(self) -> None:
        self.writer.transport.abort()

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next one, whole or as far as it came."""
        answer = Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            end = self._rest.find(b"\r\n\r\n") if not answer.status else -1
            if not answer.status and end < 0:
                if not await self._more(answer):
                    break
                continue
            if not answer.status:
                parser.feed_data(self._rest[: end + 4])
                self._rest = self._rest[end + 4 :]
                answer.status = parser.get_status_code()
                if head_only or answer.status in (204, 304):
                    answer.complete = True
                    break
            if not answer.complete and not self._rest and not await self._more(answer):
                answer.complete = "content-length" not in answer.headers and (
                    "transfer-encoding" not in answer.headers
                )
                break
            if not answer.complete:
                self._feed(answer, parser)
        return answer

    def _feed(self, answer: Answer, parser: httptools.HttpResponseParser) -> None:
        """No byte of the next answer: lengths are counted, chunks are fed one byte at a time at their ends."""
        if "content-length" in answer.headers:
            take = int(answer.headers["content-length"]) - answer.received
            parser.feed_data(self._rest[:take])
            self._rest = self._rest[take:]
            return
        if "transfer-encoding" not in answer.headers:
            answer.on_body(self._rest)
            self._rest = b""
            return
        end = self._rest.find(b"0\r\n\r\n")
        if end < 0 and len(self._rest) > 8:
            parser.feed_data(self._rest[:-8])
            self._rest = self._rest[-8:]
        while self._rest and not answer.complete:
            parser.feed_data(self._rest[:1])
            self._rest = self._rest[1:]

    async def _more(self, answer: Answer) -> bool:
        try:
            data = await self.reader.read(2**16)
        except ConnectionError:
            data = b""
        self._rest += data
        answer.closed = not data
        return bool(data)


def post(body: bytes, path: str = "/v1/chat/completions", headers: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{headers}\r\n"
    ).encode() + body


def get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: gateway\r\n{headers}\r\n".encode()


async def until(condition: Callable[[], bool], for_s: float = 60.0) -> None:
    async with asyncio.timeout(for_s):
        while not condition():  # noqa: ASYNC110 - what it waits for lies outside this test
            await asyncio.sleep(0.002)


ASK = post(b'{"model":"chat"}')


def free_port() -> int:
    """Where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


async def dies(request: Request, writer: asyncio.StreamWriter) -> None:
    """Reads the request and ends, as a killed process does."""
    writer.close()


async def never(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def half(request: Request, writer: asyncio.StreamWriter) -> None:
    """Dies in the middle of its answer."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.close()


def traffic(street: Street, revision: int = 1) -> Any:
    return street.gateway.services["chat"].stats.by_revision[str(revision)]
