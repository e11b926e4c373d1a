"""What a gateway's workers and their ledger say to each other: frames of a length and a MessagePack body.

Both run on one machine: instants are of its monotonic clock. Amounts are whole: requests, tokens, nano-dollars.
"""

import asyncio
import enum
import struct
from collections.abc import Callable
from typing import cast

import msgspec

from suanli.serving.admission.usage import Counted

_LENGTH = struct.Struct("<I")
FRAME_BYTES_MAX = 64 * 2**20


class Lane(enum.IntEnum):
    """What is limited."""

    REQUESTS = 0
    TOKENS = 1
    USD = 2


LEASE_S = {Lane.REQUESTS: 0.25, Lane.TOKENS: 1.0, Lane.USD: 5.0}
"""A worker asks for what it will use in that time, if demand goes on, and may use it for about as long."""


class Ask(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`need` more of a lane or else nothing; more than that up to `want` is welcome. `whole` is what the request takes,
    of which the worker has the rest.

    `limit` holds for each `window_s`; for money, which is by calendar, for each period of that length.
    """

    key: str
    lane: Lane
    limit: int
    window_s: float
    need: int
    whole: int
    want: int


class Settle(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of what was leased so much was used, at the latest at `at_s`, and so much comes back. `period` is for money."""

    key: str
    lane: Lane
    limit: int
    window_s: float
    period: int
    used: int
    returned: int
    at_s: float


class Report(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """From a worker. Settlements go before asks. With a `mark` the ledger answers with it once all of it is durable."""

    settled: tuple[Settle, ...] = ()
    asks: tuple[Ask, ...] = ()
    usage: tuple[Counted, ...] = ()
    mark: int = 0


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """To an ask for `need`: `granted` until `until_s`, or 0 and in how many seconds to ask again (infinite: never).

    `remaining` is what is left for all afterwards. `is_spent`: what was truly used is in the way, not only what others
    hold.
    """

    key: str
    lane: Lane
    window_s: float
    need: int
    granted: int
    until_s: float
    period: int
    remaining: int
    retry_s: float
    is_spent: bool


class Answers(msgspec.Struct, frozen=True, array_like=True, gc=False):
    answers: tuple[Answer, ...] = ()
    mark: int = 0


def framed(message: Report | Answers) -> bytes:
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames(asyncio.Protocol):
    """Cuts what arrives into bodies. `lost` is told once, also where the other side sent a frame beyond all bounds."""

    def __init__(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._receive = receive
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > FRAME_BYTES_MAX and self._transport is not None:
                self._transport.abort()
                return
            end = at + _LENGTH.size + length
            if len(buffer) < end:
                break
            self._receive(bytes(buffer[at + _LENGTH.size : end]))
            at = end
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()
