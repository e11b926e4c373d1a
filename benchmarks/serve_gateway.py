"""What the gateway's data path costs: CPU a request, added latency, requests a second, memory; beside its peers.

direct     clients -> the replica that does nothing
suanli     clients -> one worker of the gateway (key, limits, metering, routing) -> the replica
naive      clients -> a proxy of asyncio streams that copies bytes between two sockets -> the replica
uvicorn    clients -> uvicorn (uvloop, httptools) with a bare ASGI function: no proxy at all
many       as suanli, with 10,000 keys, 1,000 routes and 200 models more
ray-serve  clients -> Ray Serve's proxy -> a deployment that does nothing; CPU and memory of the proxy alone
ray-serve+ the same, with its replica's CPU and memory
litellm    clients -> LiteLLM's proxy (one worker, a master key, no database) -> the replica

`first_ms` is what the first byte of a stream comes later than from the replica; not asked of the last three, of which
latency is measured at a twentieth of the rate, as they could not keep up with more. They are installed in an
environment of their own (`peers.py`); where that fails, or one does not start, a row says so.
`python serve_gateway.py 1000000` asks so often, and tells only of the gateway.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import peers
import psutil
from serve_load import KEY

from suanli.serving.gateway.routes import Key, Revision, Route, Routes, Target
from suanli.serving.gateway.routes_file import write_routes

HERE = Path(__file__).parent
REQUESTS = 40_000
KEYS, ROUTES, MODELS = 10_000, 1_000, 200
CONNECTIONS = 16
QUIET_RATE = 400.0
"""Requests a second at which latency is measured: nothing waits for a processor then."""

PEER_REQUESTS, PEER_RATE = 3_000, 20.0
"""Peers take up to a hundred times as long."""

Row = dict[str, str | int | float]


def measure() -> Iterator[Row]:
    with _replica() as replica:
        base_ms = _quiet_ms(replica)
        yield _row("direct", _clients(replica, REQUESTS, CONNECTIONS, 0), 0.0, 0.0, 0.0, base_ms)
        with _suanli(_routes(replica)) as (port, worker):
            yield _measured("suanli", port, [worker], base_ms)
        with _suanli(_many(_routes(replica))) as (port, worker):
            yield _measured("many", port, [worker], base_ms)
        with _naive(replica) as (port, worker):
            yield _measured("naive", port, [worker], base_ms)
        with _uvicorn() as (port, worker):
            yield _measured("uvicorn", port, [worker], (base_ms[0], 0.0))
        yield from _peers(replica)


def _peers(replica: int) -> Iterator[Row]:
    try:
        peers.python()
    except (subprocess.CalledProcessError, OSError) as error:
        yield {"what": "ray-serve, litellm", "left out": f"{peers.WANTED.name} cannot be installed: {error}"}
        return
    base_ms = (_clients(replica, 200, 4, PEER_RATE)["p50_ms"], 0.0)
    for name, rows in (("ray-serve", _beside_ray_serve), ("litellm", _beside_litellm)):
        try:
            yield from rows(replica, base_ms)
        except RuntimeError as error:
            yield {"what": name, "left out": str(error)}


def _beside_ray_serve(_: int, base_ms: tuple[float, float]) -> Iterator[Row]:
    with _ray_serve() as (port, proxy, deployed):
        yield _measured("ray-serve", port, [proxy], base_ms, PEER_REQUESTS, PEER_RATE)
        yield _measured("ray-serve+", port, [proxy, deployed], base_ms, PEER_REQUESTS, PEER_RATE)


def _beside_litellm(replica: int, base_ms: tuple[float, float]) -> Iterator[Row]:
    with _litellm(replica) as (port, worker):
        yield _measured("litellm", port, [worker], base_ms, PEER_REQUESTS, PEER_RATE)


def soak(requests: int) -> Row:
    """The gateway alone, for so many requests."""
    with _replica() as replica:
        base_ms = _quiet_ms(replica)
        with _suanli(_routes(replica)) as (port, worker):
            return _measured("suanli", port, [worker], base_ms, requests)


def _quiet_ms(port: int) -> tuple[float, float]:
    """Of an answer, and of the first byte of a stream, where nothing waits."""
    return (
        _clients(port, 2000, 4, QUIET_RATE)["p50_ms"],
        _clients(port, 2000, 4, QUIET_RATE, "stream")["p50_ms"],
    )


def _measured(
    name: str,
    port: int,
    processes: Sequence[psutil.Process],
    base_ms: tuple[float, float],
    requests: int = REQUESTS,
    quiet_rate: float = QUIET_RATE,
) -> Row:
    """CPU and memory of these processes together."""
    quiet = int(5 * quiet_rate), 4, quiet_rate
    _clients(port, min(2000, requests // 3), CONNECTIONS, 0)
    rss, before_s = _rss(processes), _cpu_s(processes)
    seen = _clients(port, requests, CONNECTIONS, 0)
    cpu_s, grown = _cpu_s(processes) - before_s, _rss(processes) - rss
    answer_ms = _clients(port, *quiet)["p50_ms"] - base_ms[0]
    first_ms = _clients(port, *quiet, "stream")["p50_ms"] - base_ms[1] if base_ms[1] else 0.0
    return _row(name, seen, cpu_s, grown / 2**20, rss / 2**20, (answer_ms, first_ms))


def _row(
    name: str,
    seen: dict[str, float],
    cpu_s: float,
    grown_mib: float,
    rss_mib: float,
    ms: tuple[float, float],
) -> Row:
    return {
        "what": name,
        "requests": int(seen["requests"]),
        "failed": int(seen["failed"]),
        "per_s": round(seen["per_s"]),
        "cpu_ms": round(1000 * cpu_s / seen["requests"], 4),
        "added_p50_ms": round(ms[0], 3),
        "first_ms": round(ms[1], 3),
        "p99_ms": round(seen["p99_ms"], 2),
        "rss_mib": round(rss_mib, 1),
        "grown_mib": round(grown_mib, 2),
    }


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def _rss(processes: Sequence[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)


def _clients(port: int, requests: int, connections: int, rate: float, *more: str) -> dict[str, float]:
    asked = [str(port), str(requests), str(connections), str(rate), *more]
    command = [sys.executable, str(HERE / "serve_load.py"), "clients", *asked]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@contextmanager
def _process(
    command: list[str], env: dict[str, str] | None = None, out: int = subprocess.PIPE, err: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=env, stdout=out, stderr=err)
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


def _routes(replica: int) -> Routes:
    target = Target(key="chat/0", attempt=1, host="127.0.0.1", port=replica)
    revision = Revision(number=1, share=1.0, targets=(target,))
    return Routes(
        version=1,
        routes=(Route(service="chat", models=("chat",), revisions=(revision,)),),
        keys=(_key("bench", KEY),),
    )


def _key(name: str, secret: bytes) -> Key:
    digest = hashlib.sha256(secret).hexdigest()
    return Key(name=name, digest=digest, requests_per_s=1e6, tokens_per_min=1e12, budget_usd=1e6)


def _many(routes: Routes) -> Routes:
    keys = tuple(_key(f"key-{number}", b"%d" % number) for number in range(KEYS))
    told = tuple(
        Route(service=f"service-{number}", models=(f"model-{number}",) if number < MODELS else ())
        for number in range(ROUTES)
    )
    return Routes(version=1, routes=(*told, *routes.routes), keys=(*keys, *routes.keys))


@contextmanager
def _suanli(routes: Routes) -> Iterator[tuple[int, psutil.Process]]:
    with tempfile.TemporaryDirectory() as folder:
        write_routes(Path(folder), routes)
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


@contextmanager
def _ray_serve() -> Iterator[tuple[int, psutil.Process, psutil.Process]]:
    """Its port, its proxy, and the one replica."""
    command = [peers.python(), str(HERE / "serve_ray.py"), "noop"]
    with _process(command, err=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise RuntimeError(f"serve_ray.py ended with {process.wait()}")
        below = psutil.Process(process.pid).children(recursive=True)
        yield int(port), _actor("ProxyActor", below), _actor("ServeReplica", below)


def _actor(name: str, processes: Sequence[psutil.Process]) -> psutil.Process:
    """Ray's workers are named for the actor that they hold."""
    return next(each for each in processes if each.cmdline()[:1] and f"ray::{name}" in each.cmdline()[0])


@contextmanager
def _litellm(replica: int) -> Iterator[tuple[int, psutil.Process]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "litellm.yaml"
        upstream = {"model": "openai/chat", "api_base": f"http://127.0.0.1:{replica}/v1", "api_key": "none"}
        told = {
            "model_list": [{"model_name": "chat", "litellm_params": upstream}],
            "general_settings": {"master_key": KEY.decode()},
        }
        file.write_text(json.dumps(told))  # which is YAML, too
        port = _free_port()
        where = ["--host", "127.0.0.1", "--port", str(port)]
        command = [str(Path(peers.python()).with_name("litellm")), "--config", str(file), *where]
        # prices of models come with it; else it would ask for them at its start
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        with _process(command, environment, subprocess.DEVNULL, subprocess.DEVNULL) as process:
            _wait_for(port, process)
            yield port, psutil.Process(process.pid)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"litellm ended with {process.returncode}")


if __name__ == "__main__":
    for row in [soak(int(sys.argv[1]))] if sys.argv[1:] else measure():
        print(row, flush=True)
