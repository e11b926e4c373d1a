"""A client's connection, by what its transport sees."""

import asyncio
from typing import Any

from suanli.serving.gateway.problems import Problem, rendered
from suanli.serving.gateway.request import Request
from suanli.serving.gateway.server import HEAD_S, IDLE_S, ClientConnection


class Unread(asyncio.Transport):
    """To a client that reads nothing: full with the first answer."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: ClientConnection | None = None
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))
        if self.connection is not None and not self.connection.full:
            self.connection.pause_writing()

    def is_closing(self) -> bool:
        return self.aborted

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        return

    def abort(self) -> None:
        self.aborted = True


class Saying:
    """Answers everything at once."""

    def __init__(self) -> None:
        self.clients: set[ClientConnection] = set()
        self.draining = False

    def body_bytes_max(self, request: Request) -> int:
        return 0

    def handle(self, request: Request, client: ClientConnection) -> None:
        client.answer(
            rendered(
                Problem(404, "not_found", "No."), request.target, request.id, close=False, head_only=False
            )
        )


def test_a_client_that_reads_nothing_and_ends_with_half_a_head_is_parted_from() -> None:
    loop = asyncio.new_event_loop()
    try:
        transport = Unread()
        transport.connection = connection = ClientConnection(Saying(), loop)
        connection.connection_made(transport)
        connection.data_received(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 3 + b"GET /hea")
        began_s = loop.time()
        for sweep in range(1, 4):
            connection.sweep(began_s + HEAD_S + sweep)
        assert not transport.aborted
        assert len(transport.written) == 1
        assert not any(isinstance(item, Problem) for item in connection._waiting)
        connection.sweep(began_s + IDLE_S + 1)
        assert transport.aborted
    finally:
        loop.close()
