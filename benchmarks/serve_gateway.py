"""What the gateway's data path costs: CPU a request, added latency, requests a second, memory; beside its peers.

direct     clients -> the replica that does nothing
suanli     clients -> one worker of the gateway (key, limits, metering, routing) -> the replica
naive      clients -> a proxy of asyncio streams that copies bytes between two sockets -> the replica
uvicorn    clients -> uvicorn (uvloop, httptools) with a bare ASGI function: no proxy at all
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from serve_load import KEY

from suanli.serving.gateway.routes import Key, Revision, Route, Routes, Target
from suanli.serving.gateway.routes_file import write_routes

HERE = Path(__file__).parent
REQUESTS = 40_000
CONNECTIONS = 16
QUIET_RATE = 400.0
"""Requests a second at which latency is measured: nothing waits for a processor then."""

Row = dict[str, str | int | float]


def measure() -> Iterator[Row]:
    with _replica() as replica:
        quiet = _clients(replica, 2000, 4, QUIET_RATE)
        yield _row("direct", _clients(replica, REQUESTS, CONNECTIONS, 0), 0.0, 0.0, 0.0, quiet["p50_ms"])
        base_ms = quiet["p50_ms"]
        with _suanli(replica) as (port, worker):
            yield _measured("suanli", port, worker, base_ms)
        with _naive(replica) as (port, worker):
            yield _measured("naive", port, worker, base_ms)
        with _uvicorn() as (port, worker):
            yield _measured("uvicorn", port, worker, base_ms)


def _measured(name: str, port: int, worker: psutil.Process, base_ms: float) -> Row:
    _clients(port, 2000, CONNECTIONS, 0)
    rss = worker.memory_info().rss
    before_s = _cpu_s(worker)
    seen = _clients(port, REQUESTS, CONNECTIONS, 0)
    cpu_s = _cpu_s(worker) - before_s
    grown = worker.memory_info().rss - rss
    quiet = _clients(port, 2000, 4, QUIET_RATE)
    return _row(name, seen, cpu_s, grown / 2**20, rss / 2**20, quiet["p50_ms"] - base_ms)


def _row(name: str, seen: dict[str, float], cpu_s: float, grown_mib: float, rss_mib: float, ms: float) -> Row:
    return {
        "what": name,
        "requests": int(seen["requests"]),
        "failed": int(seen["failed"]),
        "per_s": round(seen["per_s"]),
        "cpu_ms": round(1000 * cpu_s / seen["requests"], 4),
        "added_p50_ms": round(ms, 3),
        "p99_ms": round(seen["p99_ms"], 2),
        "rss_mib": round(rss_mib, 1),
        "grown_mib": round(grown_mib, 2),
    }


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _clients(port: int, requests: int, connections: int, rate: float) -> dict[str, float]:
    command = [
        sys.executable,
        str(HERE / "serve_load.py"),
        "clients",
        str(port),
        str(requests),
        str(connections),
        str(rate),
    ]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _replica() -> Iterator[int]:
    with _process([sys.executable, str(HERE / "serve_load.py"), "replica"]) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def _suanli(replica: int) -> Iterator[tuple[int, psutil.Process]]:
    with tempfile.TemporaryDirectory() as folder:
        target = Target(key="chat/0", attempt=1, host="127.0.0.1", port=replica)
        route = Route(
            service="chat", models=("chat",), revisions=(Revision(number=1, share=1.0, targets=(target,)),)
        )
        key = Key(
            name="bench",
            digest=hashlib.sha256(KEY).hexdigest(),
            requests_per_s=1e6,
            tokens_per_min=1e12,
            budget_usd=1e6,
        )
        write_routes(Path(folder), Routes(version=1, routes=(route,), keys=(key,)))
        command = [sys.executable, "-m", "suanli.serving.gateway", "--dir", folder]
        with _process(command) as process:
            file = Path(folder) / "gateway.json"
            worker_file = Path(folder) / "worker-0.json"
            while not (file.exists() and worker_file.exists()):
                time.sleep(0.02)
            pid = json.loads(worker_file.read_text())["pid"]
            yield json.loads(file.read_text())["port"], psutil.Process(pid)
            assert process.poll() is None


@contextmanager
def _naive(replica: int) -> Iterator[tuple[int, psutil.Process]]:
    with _process([sys.executable, str(HERE / "serve_peers.py"), "naive", str(replica)]) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), psutil.Process(process.pid)


@contextmanager
def _uvicorn() -> Iterator[tuple[int, psutil.Process]]:
    with _process([sys.executable, str(HERE / "serve_peers.py"), "uvicorn"]) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), psutil.Process(process.pid)


if __name__ == "__main__":
    for row in measure():
        print(row, flush=True)
