"""`logs` against the API's contract: pieces by byte offset, attempts that follow each other, an end."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

PIECE_BYTES = 7


class Workload:
    """What the API says of one workload; tests write to its attempts' logs."""

    def __init__(self) -> None:
        self.attempts: list[bytes] = [b""]
        self.ended = 0  # attempts that write no more
        self.is_final = False
        self.url = ""

    def read(self, attempt: int, offset: int) -> dict[str, Any]:
        piece = self.attempts[attempt - 1][offset : offset + PIECE_BYTES]
        ended = attempt <= self.ended
        return {
            "text": piece.decode(),
            "next_offset": offset + len(piece),
            "attempt": attempt,
            "ended": ended,
        }

    def view(self) -> dict[str, Any]:
        return {
            "key": "gpt",
            "attempts_made": len(self.attempts),
            "status": "succeeded" if self.is_final else "running",
        }


@pytest.fixture
def workload(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workload]:
    there = Workload()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
            if parts.path == "/v1/logs/gpt":
                answer: Any = there.read(asked.get("attempt", len(there.attempts)), asked["offset"])
            else:
                answer = {"workloads": [there.view()]}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Not on the test's stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there.url = f"http://127.0.0.1:{server.server_port}"
        yield there
        server.shutdown()


@pytest.fixture
def logs(cli: Callable[..., Any], workload: Workload) -> Callable[..., Any]:
    env = {"SUANLI_URL": workload.url, "SUANLI_TOKEN": "t"}
    return lambda *words: cli("logs", "gpt", *words, env=env)


def test_all_that_was_written_comes_piece_by_piece(workload: Workload, logs: Callable[..., Any]) -> None:
    workload.attempts = [b"one\ntwo\nthree\nand no end of line"]
    assert logs().stdout == "one\ntwo\nthree\nand no end of line"


@pytest.mark.parametrize(
    ("count", "last"), [(0, ""), (1, "four"), (2, "three\nfour"), (9, "one\ntwo\nthree\nfour")]
)
def test_only_the_last_lines(workload: Workload, logs: Callable[..., Any], count: int, last: str) -> None:
    workload.attempts = [b"one\ntwo\nthree\nfour"]
    assert logs("--tail", count).stdout == last


def test_an_earlier_attempt_and_by_default_the_last(workload: Workload, logs: Callable[..., Any]) -> None:
    workload.attempts, workload.ended = [b"first\n", b"second\n"], 1
    assert logs("--attempt", 1).stdout == "first\n"
    assert logs().stdout == "second\n"


def test_following_ends_with_the_workload_and_loses_no_last_word(
    workload: Workload, logs: Callable[..., Any]
) -> None:
    workload.attempts = [b"begin\n"]

    def end() -> None:
        workload.attempts[0] += b"last word\n"
        workload.ended, workload.is_final = 1, True

    threading.Timer(0.5, end).start()
    done = logs("--follow", "--timeout", "100s")
    assert (done.exit_code, done.stdout) == (0, "begin\nlast word\n")


def test_following_goes_on_with_the_next_attempt(workload: Workload, logs: Callable[..., Any]) -> None:
    workload.attempts = [b"first\n"]

    def requeue() -> None:
        workload.ended = 1
        workload.attempts = [b"first\n", b"second\n"]
        threading.Timer(0.5, end).start()

    def end() -> None:
        workload.ended, workload.is_final = 2, True

    threading.Timer(0.5, requeue).start()
    done = logs("--follow", "--timeout", "100s")
    assert (done.exit_code, done.stdout) == (0, "first\nsecond\n")
    assert "attempt 2" in done.stderr


def test_124_following_what_does_not_end(workload: Workload, logs: Callable[..., Any]) -> None:
    workload.attempts = [b"begin\n"]
    done = logs("--follow", "--timeout", "2s")
    assert (done.exit_code, done.stdout) == (124, "begin\n")
