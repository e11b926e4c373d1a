"""Ctrl-C while a model is asked: whenever it comes, what is known is told and nobody waits for a lock."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from suanli.models.evaluation.asking import asked
from suanli.models.evaluation.datasets import CLASSIFICATION
from suanli.models.evaluation.replica import Endpoint

ROWS = [{"input": [1], "label": "a"}] * 1_000_000
ROUNDS = 100

INTERRUPTS = """
import os, random, signal, sys, time
rng = random.Random(5)
for _ in sys.stdin:
    until_s = time.perf_counter() + rng.uniform(0, 0.0006)
    while time.perf_counter() < until_s:
        pass
    os.kill(os.getppid(), signal.SIGINT)
"""
"""From another process, as only that comes at any instruction: within this one, whoever sends it holds the lock of the
interpreter."""


class Says(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"outputs": ["a"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = None, size: object = None) -> None:
        pass


@pytest.fixture
def model() -> Iterator[Endpoint]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Endpoint(host="127.0.0.1", port=server.server_port, model="m")
        server.shutdown()


def test_whenever_it_comes_it_ends_with_what_is_known(model: Endpoint) -> None:
    with subprocess.Popen([sys.executable, "-c", INTERRUPTS], stdin=subprocess.PIPE, bufsize=0) as other:
        ask = other.stdin
        assert ask is not None

        def told(count: int) -> None:
            if count == 1:
                ask.write(b"now\n")

        for _ in range(ROUNDS):
            answers = asked(model, CLASSIFICATION, ROWS, concurrency=4, told=told)
            assert answers.interrupted
            assert set(answers.said.values()) == {"a"}
        ask.close()
