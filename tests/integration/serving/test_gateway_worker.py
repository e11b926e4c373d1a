"""One worker from begin to end: a disk that stands still holds up no request, and whatever is cut at the end is
accounted for before it parts from the ledger."""

import asyncio
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from street import ASK, Client, never, replica, route, routes, run, until, whole

from suanli.serving.gateway import worker as workers
from suanli.serving.gateway.admission_port import Grant, OpenAdmission
from suanli.serving.gateway.routes_file import write_routes
from suanli.serving.gateway.worker import Settings, Worker
from suanli.whole_file import replace


class Noting(OpenAdmission):
    """Lets everybody pass, and notes with which status they leave."""

    def __init__(self) -> None:
        self.left: list[int] = []

    def leave(self, grant: Grant, *, status: int, **_: Any) -> None:
        self.left.append(status)


def begun(folder: Path, listening: socket.socket, admission: OpenAdmission) -> Worker:
    told = Settings(folder=str(folder), slot=0, workers=1, supervisor=0, listening=listening.detach())
    worker = Worker(told, admission, asyncio.get_running_loop())
    worker.begin()
    return worker


def test_while_the_disk_stands_still_requests_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = threading.Event()

    def slow(path: Path, data: bytes, *, durable: bool) -> None:
        moves.wait()
        replace(path, data, durable=durable)

    monkeypatch.setattr(workers, "replace", slow)

    async def test() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        async with replica(whole(b"{}")) as there:
            write_routes(tmp_path, routes(route(there.port)))
            worker = begun(tmp_path, listening, OpenAdmission())
            client = Client(*await asyncio.open_connection("127.0.0.1", port))
            client.send(ASK)
            assert (await client.answer()).status == 200
            client.close()
            assert not (tmp_path / "worker-0.json").exists()
            moves.set()
            await worker.drain()
        told = msgspec.json.decode((tmp_path / "worker-0.json").read_bytes())
        assert told["services"]["chat"]["arrived"] == 1

    run(test())


def test_requests_cut_at_the_end_are_settled_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "DRAIN_S", 0.1)

    async def test() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        admission = Noting()
        async with replica(never) as there:
            write_routes(tmp_path, routes(route(there.port)))
            worker = begun(tmp_path, listening, admission)
            client = Client(*await asyncio.open_connection("127.0.0.1", port))
            client.send(ASK)
            await until(lambda: bool(there.requests))
            await worker.drain()
            assert admission.left == [499]
            assert not worker.stats().in_flight
            client.close()

    run(test())
