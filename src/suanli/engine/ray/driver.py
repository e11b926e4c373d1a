"""The process that talks to Ray on a controller's behalf: a request per line on stdin, an answer per line on stdout.

It stands between because a Ray driver hangs for a minute and then ends its own process when the cluster is gone, keeps
one token for life, and prints where it likes. It ends with its controller, when stdin does.
"""

import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import ray
from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from suanli.engine import worker_log
from suanli.engine.ray.hub import attach
from suanli.engine.ray.names import NAMESPACE
from suanli.engine.ray.requests import Answer, Connection, LogPlace, LogRequest, Request, Settings

HUB_TIMEOUT_S = 5.0
HUB_START_TIMEOUT_S = 60.0
THREADS = 4
CONNECTED = 0


def main(connection: Connection) -> None:
    answers = _Answers()
    try:
        GcsClient(
            address=connection.address
        )  # says at once that a token is wrong; what follows would go on trying
        ray.init(
            address=connection.address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False
        )
        desk = _Desk(connection.settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, the controller is told, and this process is over
        answers.give(Answer(id=CONNECTED, error=_sentence(error)))
        os._exit(1)
    answers.give(Answer(id=CONNECTED))
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin.buffer:
            pool.submit(_serve, desk, answers, msgspec.json.decode(line, type=Request))
    os._exit(0)  # Ray's own farewell takes a second, and there is nobody left to wait for it


class _Desk:
    """The hub, and what can be asked of it."""

    def __init__(self, settings: Settings) -> None:
        self._hub = attach()
        ray.get(self._hub.configure.remote(msgspec.json.encode(settings)), timeout=HUB_START_TIMEOUT_S)

    def do(self, verb: str, body: bytes) -> bytes:
        match verb:
            case "observe":
                return self._ask(self._hub.observe.remote())
            case "start" | "stop" | "forget":
                self._ask(getattr(self._hub, verb).remote(body))
                return b"null"
            case "read_log":
                return msgspec.json.encode(self._read_log(body))
            case _:
                raise ValueError(f"no verb {verb}")

    def _read_log(self, body: bytes) -> bytes:
        place = msgspec.json.decode(self._ask(self._hub.log_place.remote(body)), type=LogPlace | None)
        if place is None:
            return b""
        offset = msgspec.json.decode(body, type=LogRequest).offset
        if place.host == socket.gethostname():
            return worker_log.read_chunk(Path(place.path), offset)
        there = NodeAffinitySchedulingStrategy(place.node_id, soft=False)
        reader = ray.remote(_read_chunk).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        return self._ask(reader.remote(place.path, offset))

    def _ask(self, reference: Any) -> bytes:
        return ray.get(reference, timeout=HUB_TIMEOUT_S)


class _Answers:
    """The controller's end of the pipe, kept from everybody else who writes to stdout."""

    def __init__(self) -> None:
        self._out: BinaryIO = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def give(self, answer: Answer) -> None:
        with self._lock:
            self._out.write(msgspec.json.encode(answer) + b"\n")
            self._out.flush()


def _serve(desk: _Desk, answers: _Answers, request: Request) -> None:
    try:
        answer = Answer(id=request.id, body=msgspec.Raw(desk.do(request.verb, bytes(request.body))))
    except (RayError, GetTimeoutError, ValueError, OSError) as error:
        answer = Answer(id=request.id, error=_sentence(error))
    answers.give(answer)


def _sentence(error: Exception) -> str:
    """The first line of it: Ray's messages are essays."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]


def _read_chunk(path: str, offset: int) -> bytes:
    return worker_log.read_chunk(Path(path), offset)


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Connection))
