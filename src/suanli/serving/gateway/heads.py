"""Heads of HTTP/1.1 messages as bytes: what is passed on, what is not, and how ours are written.

Headers between two neighbours (RFC 9110 §7.6.1) are never passed on; framing is always written anew from what was
understood, so that nobody behind the gateway can understand a message's end in another way.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus

HOP_BY_HOP = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings",
    )
)  # fmt: skip

KEPT_OF_REQUESTS = HOP_BY_HOP | frozenset(
    (
        b"host", b"content-length", b"expect", b"authorization", b"x-request-id", b"x-request-timeout-ms",
        b"x-suanli-service", b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
        b"x-real-ip",
    )
)  # fmt: skip
"""What the gateway reads and doesn't pass on. A client's key is never shown to a replica."""

KEPT_OF_ANSWERS = HOP_BY_HOP | frozenset((b"content-length", b"x-request-id"))

_ONLY_FOR_THE_CONNECTION = frozenset((b"", b"keep-alive", b"close", b"upgrade", b"te", b"http2-settings"))

STATUS_LINES: Mapping[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


def status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def without_named(lines: Iterable[bytes], connection: bytes) -> list[bytes]:
    """Header lines less those that `Connection` names as meant for the neighbour only."""
    named = {name.strip() for name in connection.lower().split(b",")} - _ONLY_FOR_THE_CONNECTION
    if not named:
        return list(lines)
    return [line for line in lines if line.partition(b":")[0] not in named]


def whole_answer(
    status: int,
    content_type: bytes,
    body: bytes,
    request_id: bytes,
    *,
    close: bool,
    head_only: bool,
    extra: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """An answer of the gateway's own."""
    lines = [
        status_line(status),
        b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
        % (content_type, len(body), request_id),
        *(b"%b: %b\r\n" % header for header in extra),
        b"connection: close\r\n\r\n" if close else b"\r\n",
    ]
    if not head_only:
        lines.append(body)
    return b"".join(lines)
