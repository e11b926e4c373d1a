"""Processes around a gateway under test: a replica that does nothing, and clients that ask as soon as answered.

python serve_load.py replica            prints its port, answers any request with a short JSON text
python serve_load.py clients PORT REQUESTS CONNECTIONS RATE [stream]   prints what it saw, as JSON
"""

import asyncio
import json
import sys
import time

import uvloop

ANSWER_BODY = (
    b'{"id":"x","object":"chat.completion","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12}}'
)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER_BODY),
    ANSWER_BODY,
)
ASK_BODY = b'{"model":"chat","messages":[{"role":"user","content":"How long is a piece of string?"}],"max_tokens":16}'
KEY = b"sk-suanli-benchmark"
ASK = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"accept: */*\r\nuser-agent: benchmark\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
) % (KEY, len(ASK_BODY), ASK_BODY)


EVENT = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
STREAM_BEGIN = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
)
STREAM_END = b"0\r\n\r\n"
STREAM_S = 0.002
ASK_STREAM_BODY = ASK_BODY.replace(b"{", b'{"stream":true,', 1)
ASK_STREAM = ASK.replace(ASK_BODY, ASK_STREAM_BODY).replace(
    b"%d" % len(ASK_BODY), b"%d" % len(ASK_STREAM_BODY)
)


def whole(message: bytes) -> bool:
    """Whether this is all of a request or an answer."""
    head, between, body = message.partition(b"\r\n\r\n")
    if not between:
        return False
    lower = head.lower()
    _, told, length = lower.partition(b"\r\ncontent-length:")
    if told:
        return len(body) >= int(length.partition(b"\r\n")[0])
    return b"chunked" not in lower or body.endswith(STREAM_END)


class NoOp(asyncio.Protocol):
    """Answers one request after another; a client waits for each answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not whole(self.received):
            return
        asked, self.received = self.received, b""
        if b'"stream":true' not in asked:
            self.transport.write(ANSWER)  # pyright: ignore[reportAttributeAccessIssue]
            return
        self.transport.write(STREAM_BEGIN)  # pyright: ignore[reportAttributeAccessIssue]
        asyncio.get_running_loop().call_later(STREAM_S, self.end)

    def end(self) -> None:
        if self.transport.is_closing():  # who has enough leaves before a stream's end
            return
        self.transport.write(STREAM_END)  # pyright: ignore[reportAttributeAccessIssue]


class Load:
    """`rate` requests a second over all connections; 0: as many as go. Of a stream the first byte is timed."""

    def __init__(self, requests: int, rate: float, streams: bool) -> None:
        self.left = requests
        self.rate = rate
        self.message = ASK_STREAM if streams else ASK
        self.streams = streams
        self.failed = 0
        self.times_s: list[float] = []
        self.done = asyncio.Event()
        self.started_s = time.perf_counter()
        self.sent = 0

    def next_s(self) -> float:
        """When the next request is due; asking for it takes it."""
        self.left -= 1
        self.sent += 1
        return self.started_s + self.sent / self.rate if self.rate else 0.0


class Client(asyncio.Protocol):
    def __init__(self, load: Load, loop: asyncio.AbstractEventLoop) -> None:
        self.load = load
        self.loop = loop
        self.began_s = self.heard_s = 0.0
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        if self.load.left <= 0:
            self.load.done.set()
            return
        due_s = self.load.next_s()
        wait_s = due_s - time.perf_counter() if due_s else 0.0
        if wait_s > 0:
            self.loop.call_later(wait_s, self.send)
        else:
            self.send()

    def send(self) -> None:
        self.began_s = time.perf_counter()
        self.transport.write(self.load.message)  # pyright: ignore[reportAttributeAccessIssue]

    def data_received(self, data: bytes) -> None:
        if not self.received or not self.load.streams:
            self.heard_s = time.perf_counter()
        self.received += data
        if whole(self.received):
            self.load.times_s.append(self.heard_s - self.began_s)
            self.load.failed += not self.received.startswith(b"HTTP/1.1 200")
            self.received = b""
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.failed += self.load.left > 0
        self.load.done.set()


async def replica() -> None:
    server = await asyncio.get_running_loop().create_server(NoOp, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def clients(port: int, requests: int, connections: int, rate: float, streams: bool) -> None:
    loop = asyncio.get_running_loop()
    load = Load(requests, rate, streams)
    for _ in range(connections):
        await loop.create_connection(lambda: Client(load, loop), "127.0.0.1", port)
    await load.done.wait()
    wall_s = time.perf_counter() - load.started_s
    times_s = sorted(load.times_s)
    told = {
        "requests": len(times_s),
        "failed": load.failed,
        "per_s": len(times_s) / wall_s,
        "p50_ms": 1000 * times_s[len(times_s) // 2],
        "p99_ms": 1000 * times_s[int(len(times_s) * 0.99)],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1] == "replica":
        uvloop.run(replica())
    else:
        uvloop.run(
            clients(
                int(sys.argv[2]),
                int(sys.argv[3]),
                int(sys.argv[4]),
                float(sys.argv[5]),
                sys.argv[6:] == ["stream"],
            )
        )
