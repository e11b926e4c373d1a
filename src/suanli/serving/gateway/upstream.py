"""The side of the replicas: kept-alive HTTP/1.1 connections to one replica, each with at most one request on it."""

import asyncio
import logging
import struct
from socket import IPPROTO_TCP, TCP_INFO
from time import monotonic
from typing import Protocol, cast

import httptools

from suanli.domain.traffic import Counted
from suanli.policies.pace import Mean, Pace
from suanli.serving.gateway.breaker import FAULTY, UNREACHED, Breaker
from suanli.serving.gateway.heads import KEPT_OF_ANSWERS, without_named
from suanli.serving.gateway.routes import Target

log = logging.getLogger(__name__)

IDLE_MAX = 64
"""Kept-alive connections to one replica that nobody uses."""
IDLE_S = 20.0
CONNECT_S = 2.0
HEAD_BYTES_MAX = 64 * 2**10

_TCP_CLOSE = 7
_TCP_INFO_BYTES = 104


class Asking(Protocol):
    """Whoever waits for an answer, as the connection to the replica sees it."""

    def answer_begins(self, connection: "ReplicaConnection") -> None: ...
    def answer_goes_on(self, connection: "ReplicaConnection", piece: bytes) -> None: ...
    def answer_read(self, connection: "ReplicaConnection") -> None:
        """All that came in one piece has been told: now is the time to write."""
        ...

    def answer_ends(self, connection: "ReplicaConnection") -> None:
        """The connection is no longer this one's."""
        ...

    def connection_broken(self, connection: "ReplicaConnection", received: bool) -> None:
        """No answer, or no more of it. `received`: the replica may have got the whole request."""
        ...


class Replica:
    """One replica as this worker knows it. `in_flight_max` is this worker's part of what it may be given (0: any).

    `reach` breaks where nobody is there, `health` where answers are failures; `usual` is what all replicas take.
    """

    __slots__ = ("gone", "head", "health", "idle", "in_flight", "in_flight_max", "label", "name_hash", "pace", "reach",
                 "revision", "target", "traffic")  # fmt: skip

    def __init__(self, target: Target, name_hash: int, traffic: Counted, usual: Mean) -> None:
        self.label = f"{target.key}:{target.attempt}"
        host = f"[{target.host}]" if ":" in target.host else target.host
        shown = f"authorization: Bearer {target.token}\r\n" if target.token else ""
        self.head = f"host: {host}:{target.port}\r\n{shown}".encode()
        self.name_hash = name_hash
        self.in_flight = 0
        self.idle: list[ReplicaConnection] = []
        self.reach, self.health = Breaker(UNREACHED), Breaker(FAULTY)
        self.pace = Pace(usual)
        self.gone = False
        self.follow(target, traffic, 0, 0)

    def follow(self, target: Target, traffic: Counted, revision: int, in_flight_max: int) -> None:
        """The same replica, as new routes have it."""
        self.target = target
        self.traffic = traffic
        self.revision = revision
        self.in_flight_max = in_flight_max

    @property
    def speed(self) -> float:
        """As measured."""
        return self.pace.speed

    # --- requests

    def taken(self) -> None:
        """A request is to go there."""
        self.in_flight += 1
        if self.in_flight == 1:
            self.pace.begins(monotonic())
        self.reach.began()
        self.health.began()

    def answers(self, status: int, now_s: float) -> None:
        """The head of an answer has come."""
        self.reach.succeeded()
        if status >= 500:
            self.health.failed(now_s)
        else:
            self.health.succeeded()

    def answered(self, status: int) -> None:
        """An answer has come whole."""
        if 200 <= status < 300:
            self.pace.answered(monotonic())

    def broke(self, now_s: float) -> None:
        """No connection, or no more of it."""
        self.reach.failed(now_s)
        self.health.gave_up()

    def silent(self, now_s: float) -> None:
        """There was no answer in all the time that one may take."""
        self.reach.gave_up()
        self.health.failed(now_s)

    def gave_up(self) -> None:
        """The request ended without saying anything about the replica, as its client went away."""
        self.reach.gave_up()
        self.health.gave_up()

    # --- connections

    def take_idle(self) -> "ReplicaConnection | None":
        """The connection that was used last: it is the likeliest to be still open."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def keep(self, connection: "ReplicaConnection", now_s: float) -> None:
        if self.gone or len(self.idle) >= IDLE_MAX:
            connection.close()
        else:
            connection.idle_since_s = now_s
            self.idle.append(connection)

    def retire(self) -> None:
        """No new request goes there; what is under way ends where it is."""
        self.gone = True
        self._close_idle(self.idle)
        self.idle = []

    def sweep(self, now_s: float) -> None:
        """About once a second. Closes what nobody has used for long."""
        self.pace.second_over()
        old = [connection for connection in self.idle if now_s - connection.idle_since_s > IDLE_S]
        if old:
            self.idle = [connection for connection in self.idle if now_s - connection.idle_since_s <= IDLE_S]
            self._close_idle(old)

    def _close_idle(self, connections: "list[ReplicaConnection]") -> None:
        for connection in connections:
            connection.close()


async def connect(replica: Replica, loop: asyncio.AbstractEventLoop) -> "ReplicaConnection":
    """Raises OSError and TimeoutError where nobody answers."""
    target = replica.target
    async with asyncio.timeout(CONNECT_S):
        _, connection = await loop.create_connection(
            lambda: ReplicaConnection(replica, loop), target.host, target.port
        )
    return connection


class ReplicaConnection(asyncio.Protocol):
    """Tells its `Asking` of the answer as it comes. `status`, `lines` and `length` are those of the answer's head."""

    def __init__(self, replica: Replica, loop: asyncio.AbstractEventLoop) -> None:
        self.replica = replica
        self.loop = loop
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.idle_since_s = 0.0
        self.status = 0
        self.lines: list[bytes] = []
        self.length: int | None = None
        self.content_type = b""
        self._parser = httptools.HttpResponseParser(self)
        self.asking: Asking | None = None
        self._head_only = False
        self._heard = False  # a byte of the answer
        self._done = False  # the answer is complete
        self._in_head = False
        self._head_bytes = 0
        self._chunked = False
        self._connection_header: bytes | None = None
        self._until_end = False  # the answer ends with the connection
        self._reusable = False
        self._unread_by_replica = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, asking: Asking, message: bytes, head_only: bool) -> None:
        """Send a whole request; one at a time."""
        self.asking = asking
        self._head_only = head_only
        self._heard = self._done = False
        self._until_end = self._reusable = False
        self.transport.write(message)

    def close(self) -> None:
        """Whatever the replica is doing for this request, it need not go on."""
        self.asking = None
        self.transport.abort()

    # --- of the transport

    def data_received(self, data: bytes) -> None:
        asking = self.asking
        if asking is None:  # nobody asked: such a connection is not to be trusted
            self.transport.abort()
            return
        self._heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error.__context__, Exception) and not isinstance(error.__context__, _Unasked):
                log.exception("an answer of %s could not be passed on", self.replica.label)
            self._reusable = False
            if not self._done:
                self._break(received=True)
                return
        if self._done:
            self._finish(asking)
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._break(received=True)
                return
        asking.answer_read(self)

    def eof_received(self) -> None:
        if self.asking is not None and not self._heard:
            self._unread_by_replica = not _arrived(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asking is None:
            self._forget()
        elif self._until_end and exc is None:
            self._finish(self.asking)
        else:
            # A reset before an answer: the replica closed without having read all of the request (RFC 9293 §3.10.7),
            # or never took the connection out of its queue.
            self._break(received=self._heard or not (self._unread_by_replica or exc is not None))

    def _break(self, received: bool) -> None:
        asking = self.asking
        self.close()
        if asking is not None:
            asking.connection_broken(self, received)

    def _forget(self) -> None:
        if self in self.replica.idle:
            self.replica.idle.remove(self)

    # --- of the parser

    def on_message_begin(self) -> None:
        self.lines = []
        self.length = None
        self.content_type = b""
        self._connection_header = None
        self._chunked = False
        self._in_head = True
        self._head_bytes = 0
        if self._done:
            raise _Unasked

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer
            return
        name = name.lower()
        if name in KEPT_OF_ANSWERS:
            if name == b"content-length":
                self.length = int(value)
            elif name == b"transfer-encoding":
                self._chunked = True
            elif name == b"connection":
                self._connection_header = value
        else:
            if name == b"content-type":
                self.content_type = value
            self.lines.append(b"%b: %b\r\n" % (name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        if self._connection_header is not None:
            self.lines = without_named(self.lines, self._connection_header)
        self._reusable = self._parser.should_keep_alive()
        bodiless = self._head_only or self.status in (204, 304)
        self._until_end = not bodiless and self.length is None and not self._chunked
        if self.asking is not None:
            self.asking.answer_begins(self)
        if bodiless and (self._chunked or self.length or (self._head_only and self.length is None)):
            self._reusable = False  # the parser waits for a body that won't come
            self._done = True

    def on_body(self, body: bytes) -> None:
        if self.asking is not None:
            self.asking.answer_goes_on(self, body)

    def on_message_complete(self) -> None:
        self._done = self.status >= 200

    def _finish(self, asking: Asking) -> None:
        """Kept for the next request only once it is sure that nothing followed the answer."""
        self.asking = None
        if self._reusable and not self.transport.is_closing() and not self.transport.get_write_buffer_size():
            self.replica.keep(self, self.loop.time())
        else:
            self.transport.abort()
        asking.answer_ends(self)


class _Unasked(Exception):
    """A second answer where one was asked for."""


def _arrived(transport: asyncio.Transport) -> bool:
    """Has the replica's machine taken all that we sent, with the connection then closed in order?

    If not, the replica cannot have read the request: it had closed before. (`tcpi_state` and `tcpi_unacked` of Linux.)
    """
    socket = transport.get_extra_info("socket")
    if socket is None:
        return True
    try:
        info = socket.getsockopt(IPPROTO_TCP, TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return True
    state, unacknowledged = info[0], struct.unpack_from("I", info, 24)[0]
    return state != _TCP_CLOSE and unacknowledged == 0
