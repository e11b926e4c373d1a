"""An answer on its way back: its head written anew, its body piece by piece, its tokens and times noted."""

from suanli.domain.traffic import Counted, bucket_of
from suanli.serving.gateway.answer_usage import JsonUsage, StreamUsage
from suanli.serving.gateway.heads import status_line
from suanli.serving.gateway.request import Request
from suanli.serving.gateway.upstream import ReplicaConnection

_BODILESS = (204, 304)


class Passage:
    """`out` gathers what is to be written to the client next."""

    __slots__ = ("_chunked", "connection", "first_s", "out", "paused", "status", "usage")

    def __init__(self, connection: ReplicaConnection, request: Request, now_s: float) -> None:
        self.connection = connection
        self.status = connection.status
        self.first_s = now_s
        self.paused = False
        self.usage: JsonUsage | StreamUsage | None = None
        self._chunked = False
        self.out: list[bytes] = [status_line(self.status), *connection.lines, self._framing(request)]

    def _framing(self, request: Request) -> bytes:
        """The last lines of the head. What has no length goes in chunks, or to the end of the connection."""
        length = self.connection.length
        if length is not None:
            framing = b"content-length: %d\r\n" % length
        elif request.head_only or self.status in _BODILESS:
            framing = b""
        elif request.old:
            framing = b""
            request.close = True
        else:
            framing = b"transfer-encoding: chunked\r\n"
            self._chunked = True
        if request.close:
            framing += b"connection: close\r\n"
        elif request.old:
            framing += b"connection: keep-alive\r\n"
        return b"%bx-request-id: %b\r\n\r\n" % (framing, request.id)

    def meter(self, generates: bool) -> None:
        """Look for the tokens that the answer says it used."""
        kind = self.connection.content_type
        if kind.startswith(b"text/event-stream"):
            self.usage = StreamUsage()
        elif kind.startswith(b"application/json") and self.status < 300:
            self.usage = JsonUsage(generates)

    def piece(self, piece: bytes) -> None:
        if self._chunked:
            self.out.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            self.out.append(piece)
        if self.usage is not None:
            self.usage.feed(piece)

    def end(self) -> None:
        if self._chunked:
            self.out.append(b"0\r\n\r\n")

    def time(self, traffic: Counted, arrived_s: float, asked_s: float, now_s: float, tokens_out: int) -> None:
        """Count how long the answer took that is complete now, since its request came and since a replica was asked."""
        latency_s, served_s = now_s - arrived_s, now_s - asked_s
        traffic.seconds += latency_s
        traffic.latency[bucket_of(latency_s)] += 1
        traffic.first_byte[bucket_of(self.first_s - arrived_s)] += 1
        traffic.served_seconds += served_s
        traffic.served[bucket_of(served_s)] += 1
        if isinstance(self.usage, StreamUsage) and tokens_out > 1:
            traffic.per_token[bucket_of((now_s - self.first_s) / (tokens_out - 1))] += 1

    def taken(self) -> bytes:
        """What is to be written now; it is not there any more."""
        out, self.out = self.out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def pause(self) -> None:
        """The client takes no more for now, so the replica must wait."""
        transport = self.connection.transport
        if not self.paused and not transport.is_closing():
            self.paused = True
            transport.pause_reading()

    def resume(self) -> None:
        transport = self.connection.transport
        if self.paused and not transport.is_closing():
            self.paused = False
            transport.resume_reading()
