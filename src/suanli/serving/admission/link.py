"""A worker's way to its ledger."""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from suanli.serving.admission.messages import Frames, Report, framed

UNSENT_BYTES_MAX = 2**20


class Link(Protocol):
    """Reports go out in order; answers come in through `receive`, as bodies of frames. `lost` is called once."""

    async def open(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None: ...

    def send(self, report: Report) -> None:
        """Returns at once. Does nothing once the link is lost."""
        ...

    @property
    def is_full(self) -> bool:
        """The ledger is behind: what can wait should."""
        ...

    def close(self) -> None: ...


class SocketLink:
    """Over a connected Unix stream socket: one end of `LedgerServer.attach`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._transport: asyncio.WriteTransport | None = None

    async def open(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._connection.setblocking(False)
        self._transport, _ = await asyncio.get_running_loop().create_unix_connection(
            lambda: Frames(receive, lost), sock=self._connection
        )

    def send(self, report: Report) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(framed(report))

    @property
    def is_full(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > UNSENT_BYTES_MAX

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
