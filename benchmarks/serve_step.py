"""A load that grows fourfold at once, and falls again: Suanli's scaling beside Ray Serve's default autoscaler.

Both scale from 1 to 8 replicas that hold each request for 50 ms, one at a time, and are asked at the same instants (a
Poisson process of 15, 60, 15 requests a second), whatever has been answered. Suanli has nothing but the service's SLO,
`slo: {p95: 200ms}`, and its defaults. `violation_s` is in how many seconds fewer than 95 % of the requests that came
were answered within it. A replica's hours count from when it is being started until it has ended.

python serve_step.py [--minutes 10] [suanli] [ray-serve] [zero]

Each runs by itself: two at a time keep two processors so busy that either is late for the other's sake. `zero`: a
service that sleeps is asked by many at once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import peers
import psutil
from run import Row
from serve_cells_load import Asked, Told

from suanli.cli.client import connect
from suanli.sim.serving_arrivals import Stretch, poisson
from suanli.sim.serving_metrics import attainment, missed, percentile_s

HERE = Path(__file__).parent
LOAD = str(HERE / "serve_cells_load.py")
RATE, TIMES = 15.0, 4
WORK_S, LIMIT_S = 0.05, 0.2
REPLICAS_MAX = 8
REST_S = 30.0
"""From when it has started until it is asked."""

NAMES = ("suanli", "ray-serve", "zero")

WAKING = 50
"""Requests that a sleeping service is asked at once."""

FLEET = "kind: fleet\nname: lab\nnodes: [{name: local, cpus: 2, memory: 8GiB}]\n"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One run: what was told of each request, and (seconds since the first one, replicas there, ready) by second."""

    asked: Asked
    told: Told
    replicas: list[tuple[float, int, int]]
    cpu_busy: float


def asked(minutes: float) -> Asked:
    """Three tenths of the time the usual rate, four tenths four times as much, three tenths as at first."""
    length_s = 60.0 * minutes
    stretches = [
        Stretch(RATE, 0.3 * length_s),
        Stretch(TIMES * RATE, 0.4 * length_s),
        Stretch(RATE, 0.3 * length_s),
    ]
    arrive_s = poisson(stretches, np.random.default_rng(4))
    return Asked("chat", arrive_s.tolist(), [WORK_S] * len(arrive_s))


def measure(names: Sequence[str], minutes: float) -> Iterator[Row]:
    """Some of `NAMES`, one after another."""
    for name in names:
        yield zero() if name == "zero" else told_of(name, _run(name, asked(minutes)))


def told_of(name: str, seen: Seen) -> Row:
    arrive_s, status = np.array(seen.told.sent_s), np.array(seen.told.status)
    latency_s = np.where(status == 200, seen.told.latency_s, np.inf)
    violated = missed(arrive_s, latency_s, LIMIT_S)
    step_s = 0.3 * seen.asked.arrive_s[-1]
    after = violated[int(step_s) :]
    there = [(at_s, there) for at_s, there, _ in seen.replicas]
    p95_s = percentile_s(latency_s, 0.95)
    return {
        "what": name,
        "requests": len(status),
        "failed": int((status != 200).sum()),
        "violation_s": int(violated.sum()),
        "since_step_s": int(after.sum()),
        "last_violation_s": int(np.flatnonzero(after).max()) + 1 if after.any() else 0,
        "attainment": round(attainment(latency_s, LIMIT_S), 4),
        "p95_ms": round(1000 * p95_s, 1) if p95_s is not None else -1,
        "replica_hours": round(_hours(there, seen.asked.arrive_s[-1]), 4),
        "replicas_most": max((count for _, count in there), default=0),
        "cpu_busy": round(seen.cpu_busy, 2),
        "series": json.dumps(_series(arrive_s, latency_s, seen.replicas)),
    }


def _hours(there: Sequence[tuple[float, int]], end_s: float) -> float:
    inside = [(at_s, count) for at_s, count in there if at_s < end_s]
    ends = [at_s for at_s, _ in inside[1:]] + [end_s]
    return (
        sum(count * (to_s - max(0.0, at_s)) for (at_s, count), to_s in zip(inside, ends, strict=True)) / 3600
    )


def _series(
    arrive_s: np.ndarray[Any, Any],
    latency_s: np.ndarray[Any, Any],
    replicas: Sequence[tuple[float, int, int]],
) -> dict[str, list[Any]]:
    """By five seconds: requests/s, the 95th percentile in ms (None: not answered), replicas there."""
    bins = np.floor(arrive_s / 5).astype(int)
    found: dict[str, list[Any]] = {"per_s": [], "p95_ms": [], "replicas": []}
    for number in range(int(bins.max()) + 1):
        mine = latency_s[bins == number]
        p95_s = percentile_s(mine, 0.95)
        there = [count for at_s, count, _ in replicas if 5 * number <= at_s < 5 * number + 5]
        found["per_s"].append(len(mine) / 5)
        found["p95_ms"].append(None if p95_s is None else round(1000 * p95_s))
        found["replicas"].append(round(sum(there) / len(there), 1) if there else None)
    return found


# --- runs


def _run(name: str, asks: Asked) -> Seen:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        counts = folder / "replicas.jsonl"
        if name == "suanli":
            port, key = stack.enter_context(suanli(folder, counts, f"1..{REPLICAS_MAX}", ""))
        else:
            port, key = stack.enter_context(ray_serve("step", str(counts))), "none"
        time.sleep(REST_S)
        psutil.cpu_percent()
        file = folder / "asked.json"
        file.write_bytes(msgspec.json.encode([asks]))
        began_s = time.time()
        done = subprocess.run(
            [sys.executable, LOAD, "client", str(port), str(file), key], check=True, stdout=subprocess.PIPE
        )
        busy = psutil.cpu_percent() / 100
        lines = [json.loads(line) for line in counts.read_text().splitlines()]
    replicas: list[tuple[float, int, int]] = [(at_s - began_s, there, ready) for at_s, there, ready in lines]
    before = [max(each for each in replicas if each[0] <= 0)]
    return Seen(
        asked=asks,
        told=msgspec.json.decode(done.stdout, type=list[Told])[0],
        replicas=before + [each for each in replicas if each[0] > 0],
        cpu_busy=busy,
    )


def zero() -> Row:
    """None runs; many ask at once; how many are answered, and when."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calm = "scaling: {to_zero_after: 5s}\n"
        with suanli(folder, folder / "replicas.jsonl", "0..2", calm) as (port, key):
            home = folder / "home"
            while connect(home).get("/v1/services/chat")["replicas"]:
                time.sleep(0.5)
            file = folder / "asked.json"
            file.write_bytes(msgspec.json.encode([Asked("chat", [0.0] * WAKING, [WORK_S] * WAKING)]))
            command = [sys.executable, LOAD, "client", str(port), str(file), key]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    told = msgspec.json.decode(done.stdout, type=list[Told])[0]
    lost = sum(status != 200 for status in told.status)
    return {
        "what": "from zero",
        "requests": WAKING,
        "failed": lost,
        "first_s": round(min(told.latency_s), 2),
        "last_s": round(max(told.latency_s), 2),
    }


@contextmanager
def suanli(folder: Path, counts: Path, replicas: str, more: str) -> Iterator[tuple[int, str]]:
    """The gateway's port and a key, once the service answers; its replicas are counted once a second."""
    home = folder / "home"
    environment = {**os.environ, "SUANLI_HOME": str(home)}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "suanli.cli", *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    (folder / "fleet.yaml").write_text(FLEET)
    run("up", "-d", "--port", "0", "--gateway-port", "0", "--fleet", str(folder / "fleet.yaml"))
    ends = threading.Event()
    counting = threading.Thread(target=_count, args=(home, counts, ends))
    try:
        (folder / "service.yaml").write_text(
            f"kind: serve\nname: chat\nrun: {json.dumps([sys.executable, LOAD, 'replica', '1.0'])}\n"
            f"replicas: {replicas}\nresources: {{cpus: 0.1, memory: 128MiB}}\n"
            f"slo: {{p95: {LIMIT_S * 1000:g}ms}}\ngateway: {{concurrency: 1}}\n{more}"
        )
        run("apply", "-f", str(folder / "service.yaml"), "--yes")
        secret = json.loads(run("keys", "create", "load", "-o", "json"))["secret"]
        while connect(home).get("/v1/services/chat")["ready"] < int(replicas[0]):
            time.sleep(0.2)
        time.sleep(2.0)  # the key reaches the gateway
        counting.start()
        yield json.loads((home / "gateway" / "gateway.json").read_text())["port"], secret
    finally:
        ends.set()
        if counting.ident:
            counting.join()
        run("down")


def _count(home: Path, counts: Path, ends: threading.Event) -> None:
    """(instant, replicas that are started or run, those of them that answer), once a second."""
    link = connect(home)
    while not ends.wait(1.0):
        there = sum(
            bool(each["attempt"])
            for each in link.get("/v1/workloads")["workloads"]
            if each["kind"] == "serve"
        )
        ready = link.get("/v1/services/chat")["ready"]
        with counts.open("a") as out:
            out.write(json.dumps([time.time(), there, ready]) + "\n")


@contextmanager
def ray_serve(*words: str) -> Iterator[int]:
    """Its port."""
    command = [peers.python(), str(HERE / "serve_ray.py"), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("names", nargs="*", default=NAMES)
    given = parser.parse_args()
    for row in measure(given.names, given.minutes):
        print({name: value for name, value in row.items() if name != "series"}, flush=True)
