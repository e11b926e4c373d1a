"""The side of the clients: one HTTP/1.1 connection, from bytes to requests in order, and answers back.

A request is handed on once its body is there as a whole. While one is being answered, what follows it on the connection
is read, so that a client that goes away is noticed, and kept for later.
"""

import asyncio
from collections import deque
from enum import Enum, auto
from typing import Protocol, cast

import httptools

from suanli.serving.gateway.problems import Problem, Refused, rendered
from suanli.serving.gateway.request import HEAD_BYTES_MAX, Request, new_id, too_long

HEAD_S = 10.0
"""A head must be there this long after its first byte."""
BODY_S, BODY_BYTES_PER_S = 10.0, 4096
"""A body may take this long, and longer by its bytes at this rate."""
IDLE_S = 75.0
DRAIN_IDLE_S = 1.0
"""When the gateway ends, a connection that was used so recently is kept: its next request may be under way."""
LINGER_S, LINGER_BYTES = 2.0, 2**30
"""After a refusal so much of what the client still sends is read and thrown away: closing at once would reset the
connection, and the client might never see why."""
BACKLOG_BYTES = 64 * 2**10
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


class Answering(Protocol):
    """Whoever answers a request, as the client's connection sees it."""

    def client_gone(self) -> None: ...
    def client_full(self) -> None: ...
    def client_ready(self) -> None: ...


class Application(Protocol):
    """What requests are for. `clients` are all open connections."""

    clients: set["ClientConnection"]
    draining: bool

    def body_bytes_max(self, request: Request) -> int:
        """How long the body of a request with this head may be."""
        ...

    def handle(self, request: Request, client: "ClientConnection") -> Answering | None:
        """Answer, now or later; None where it has been answered already. Must not raise."""
        ...


class Stage(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    LINGER = auto()


class ClientConnection(asyncio.Protocol):
    """Reads requests, answers them in order. Exactly one of `answer`, `end`, `break_off` ends an answer."""

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop) -> None:
        self.application = application
        self.loop = loop
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.peer = b""
        self.stage = Stage.IDLE
        self.since_s = loop.time()
        self.full = False
        self._answering: Answering | None = None
        self._current: Request | None = None  # that is being answered
        self._reading: Request | None = None
        self._body: bytes | bytearray = b""
        self._body_bytes_max = 0
        self._unread = 0  # bytes that the parser got since it last told of a body or an end
        self._waiting: deque[Request | Problem] = deque()
        self._backlog = bytearray()
        self._expects = False
        self._advancing = False
        self._paused = False
        self._discarded = 0

    # --- of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]).encode() if peer else b"unknown"
        self.application.clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.application.clients.discard(self)
        answering, self._answering = self._answering, None
        self._waiting.clear()
        if answering is not None:
            answering.client_gone()

    def eof_received(self) -> None:
        """A client that sends no more is taken as gone: one cannot be told from the other."""

    def pause_writing(self) -> None:
        self.full = True
        if self._answering is not None:
            self._answering.client_full()

    def resume_writing(self) -> None:
        self.full = False
        if self._answering is not None:
            self._answering.client_ready()
        self._advance()

    def data_received(self, data: bytes) -> None:
        if self.stage is Stage.LINGER:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.abort()
        elif self._current is not None or self.full:
            self._backlog += data
            if len(self._backlog) > BACKLOG_BYTES and not self._paused:
                self._paused = True
                self.transport.pause_reading()
        else:
            self._feed(data)
            self._advance()

    # --- of the parser

    def _feed(self, data: bytes) -> None:
        self._unread += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._take_upgrade()
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, Refused):
                raise
            self._refuse(cause.problem)
        except httptools.HttpParserError:
            self._refuse(Problem(400, "malformed_request", "This is not a valid HTTP/1.1 request."))
        else:
            if self._unread > HEAD_BYTES_MAX:
                self._refuse(too_long())

    def on_message_begin(self) -> None:
        self._reading = Request()
        self.stage = Stage.HEAD
        self.since_s = self.loop.time()

    def on_url(self, url: bytes) -> None:
        cast(Request, self._reading).add_target(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        request = cast(Request, self._reading)
        if self.stage is Stage.HEAD:
            request.add_header(name, value)
        else:  # a trailer: bounded, and not passed on
            request.add_header(b"trailer", value)

    def on_headers_complete(self) -> None:
        request = cast(Request, self._reading)
        parser = self.parser
        request.complete_head(parser.get_method(), parser.get_http_version(), parser.should_keep_alive())
        if request.length == 0:
            return
        self.stage = Stage.BODY
        self.since_s = self.loop.time()
        self._body = b""
        self._body_bytes_max = self.application.body_bytes_max(request)
        if request.length is not None:
            self._check_length(request.length)
        if request.kept.get(b"expect", b"").lower() == b"100-continue" and not request.old:
            self._expects = True

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._expects = False
        self._check_length(len(self._body) + len(body))
        if not self._body:
            self._body = body
        elif isinstance(self._body, bytearray):
            self._body += body
        else:  # one buffer: many small pieces would take many times their bytes
            self._body = bytearray(self._body + body)

    def on_message_complete(self) -> None:
        request = cast(Request, self._reading)
        if self.stage is Stage.BODY:
            request.body = bytes(self._body)
            self._body = b""
        self._reading = None
        self._unread = 0
        self._expects = False
        self._waiting.append(request)

    def _check_length(self, length: int) -> None:
        if length > self._body_bytes_max:
            raise Refused(
                Problem(
                    413,
                    "body_too_large",
                    f"The body is larger than {self._body_bytes_max} bytes, the most here.",
                )
            )

    def _take_upgrade(self) -> None:
        """The request counts, the wish to speak another protocol doesn't. (The parser reads no body with it.)"""
        request = self._waiting[-1] if self._waiting else None
        if not isinstance(request, Request):
            return
        if request.length != 0 or request.method == b"CONNECT":
            self._waiting.pop()
            self._refuse(
                Problem(400, "malformed_request", "Neither CONNECT nor an upgrade is possible here.")
            )
        else:
            request.close = True

    def _refuse(self, problem: Problem) -> None:
        """Told after the answers to what came before; then the connection ends."""
        self._waiting.append(problem)

    # --- one request after the other

    def _advance(self) -> None:
        if self._advancing:
            return
        self._advancing = True
        while self._current is None and not self.full and self.stage is not Stage.LINGER:
            if self._waiting:
                self._start(self._waiting.popleft())
            elif self._backlog:
                data = bytes(self._backlog)
                self._backlog.clear()
                self._read_on()
                self._feed(data)
            else:
                break
        self._advancing = False
        if self._expects and self._current is None:
            self._expects = False
            self.write(CONTINUE)

    def _start(self, item: Request | Problem) -> None:
        if isinstance(item, Problem):
            request = self._reading or Request()
            self.write(
                rendered(
                    item, request.target, request.id or new_id(), close=True, head_only=request.head_only
                )
            )
            self._linger()
            return
        self._current = item
        if self._reading is None:
            self.stage = Stage.ANSWER
        if self.application.draining:
            item.close = True
        answering = self.application.handle(item, self)
        if self._current is item:  # not answered yet
            self._answering = answering

    # --- of whoever answers

    def answer(self, data: bytes) -> None:
        """The whole answer, framed."""
        self.write(data)
        self.end()

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def end(self) -> None:
        """All of the answer has been written."""
        request = cast(Request, self._current)
        self._current = self._answering = None
        if request.close:
            self._linger()
            return
        if self._reading is None:
            self.stage = Stage.IDLE
        self.since_s = self.loop.time()
        self._advance()

    def break_off(self) -> None:
        """The answer can't be completed: the client must see that."""
        self._current = self._answering = None
        self.transport.abort()

    def _linger(self) -> None:
        self.stage = Stage.LINGER
        self.since_s = self.loop.time()
        self._backlog.clear()
        self._body = b""
        if self.transport.is_closing():
            return
        self._read_on()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _read_on(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    # --- of the clock

    def sweep(self, now_s: float) -> None:
        """Called about once a second: ends a connection that takes too long over what it is at."""
        stage, waited_s = self.stage, now_s - self.since_s
        if stage is Stage.ANSWER or self._current is not None:
            return
        if stage is Stage.IDLE:
            if waited_s > (DRAIN_IDLE_S if self.application.draining else IDLE_S):
                self._leave(waited_s > IDLE_S)
        elif stage is Stage.LINGER:
            if waited_s > LINGER_S:
                self._leave(waited_s > IDLE_S)
        elif self.full:  # it reads no answers: one more would only be added to those
            if waited_s > IDLE_S:
                self.transport.abort()
        elif waited_s > self._allowed_s():
            self._refuse(Problem(408, "too_slow", "The request came too slowly."))
            self._advance()

    def _leave(self, even_if_unread: bool) -> None:
        """A client that has not yet read the last answer is given until it has been idle for long."""
        if even_if_unread:
            self.transport.abort()
        elif not self.transport.get_write_buffer_size():
            self.transport.close()

    def _allowed_s(self) -> float:
        return HEAD_S if self.stage is Stage.HEAD else BODY_S + len(self._body) / BODY_BYTES_PER_S
