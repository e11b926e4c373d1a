"""Simulated against real: the share of a service's requests within its limit, on cells of rate, replicas and balancing.

Each cell runs for real: processes that hold each request for a drawn time, one at a time, behind a gateway process,
asked by a client at drawn instants whatever has been answered. The simulator plays the instants at which it asked, and
the same times (`simulated`), so that chance cancels and what is left is what the simulator has wrong; and, as a user
would ask it who knows only the rate and how long requests take, 50 runs that are drawn anew (`foreseen`): from their
mean the real run differs by its own chance as well. What a request takes beside its work is calibrated beforehand on
services that are no cells.

python serve_cells.py           writes results/serve_cells.json and results/serve_cells.svg
python serve_cells.py --quick   a few cells, shortly; writes nothing
"""

import hashlib
import http.client
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import bars
import msgspec
import numpy as np
import psutil
from serve_cells_load import Asked, Told
from serve_load import KEY
from stalls import BEAT_S, Stalls

from suanli.domain.workload import Access
from suanli.serving.gateway.routes import Key, Revision, Route, Routes, Target
from suanli.serving.gateway.routes_file import write_routes
from suanli.sim.serving import Fleet, Overheads, Requests, serve
from suanli.sim.serving_arrivals import Stretch, poisson
from suanli.sim.serving_metrics import attainment, percentile_s, violation_seconds

HERE = Path(__file__).parent
MEAN_S = 0.05
"""What a request takes on a replica of speed 1, on average."""

LENGTH_S, QUICK_S = 60.0, 12.0
AT_ONCE = 5
"""Cells that run at the same time: two processors are less than a quarter busy then."""

STALL_S, TRIES = 0.02, 6
"""Cells during which the machine, or a process of them, stood still for longer are run again, so many times at most:
what they would show is not the service's. How late those were that do nothing but sleep decides (a thread, timers in
the client and in each replica, the gateway's word that it is well), and nothing of how long answers took."""

FORESEEN_RUNS = 50
QUICK_EVERY = 5
"""`--quick` takes each so manieth cell."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas by speed, busy for that share of their time. `concurrency` 1: requests wait at the gateway; 0: at the
    replicas, so that it matters who is chosen. `limit_s` is the SLO's."""

    speeds: tuple[float, ...]
    busy: float
    work: str
    balance: str = "least-outstanding"
    concurrency: int = 1
    queue: int = 1000
    queue_s: float = 30.0
    limit_s: float

    @property
    def per_s(self) -> float:
        return self.busy * sum(self.speeds) / MEAN_S

    @property
    def access(self) -> Access:
        return Access(
            balance=self.balance, concurrency=self.concurrency, queue=self.queue, queue_s=self.queue_s
        )


def _cells() -> Iterator[Cell]:
    """Limits are such that about nine of ten requests keep them."""
    for work, replicas, busy, limit_ms in (
        ("constant", 1, 0.3, 90), ("constant", 1, 0.6, 170), ("constant", 1, 0.8, 320), ("constant", 2, 0.5, 90),
        ("constant", 2, 0.75, 140), ("constant", 2, 0.9, 380), ("constant", 4, 0.7, 90), ("constant", 4, 0.85, 140),
        ("constant", 4, 0.95, 480), ("constant", 6, 0.9, 140), ("lognormal", 2, 0.5, 150), ("lognormal", 2, 0.8, 320),
        ("lognormal", 4, 0.7, 150), ("lognormal", 4, 0.9, 380),
    ):  # fmt: skip
        yield Cell(speeds=(1.0,) * replicas, busy=busy, work=work, limit_s=limit_ms / 1000)
    for balance, work, speeds, busy, limit_ms in (
        ("round-robin", "constant", (1.0,) * 2, 0.7, 130), ("round-robin", "lognormal", (1.0,) * 3, 0.6, 220),
        ("round-robin", "lognormal", (1.0,) * 4, 0.8, 380), ("least-outstanding", "lognormal", (1.0,) * 3, 0.7, 180),
        ("least-outstanding", "lognormal", (1.0,) * 4, 0.85, 270), ("power-of-two", "constant", (1.0,) * 4, 0.8, 130),
        ("power-of-two", "lognormal", (1.0,) * 4, 0.7, 190), ("power-of-two", "lognormal", (1.0,) * 6, 0.6, 150),
        ("weighted", "constant", (1.0, 0.5), 0.6, 140), ("weighted", "lognormal", (1.0, 1.0, 0.5, 0.5), 0.75, 260),
    ):  # fmt: skip
        yield Cell(
            speeds=speeds, busy=busy, work=work, balance=balance, concurrency=0, limit_s=limit_ms / 1000
        )
    yield Cell(speeds=(1.0,), busy=0.9, work="constant", queue=2, limit_s=0.14)
    yield Cell(speeds=(1.0, 1.0), busy=0.95, work="lognormal", queue_s=0.05, limit_s=0.13)


CELLS = tuple(_cells())


def cells(quick: bool) -> dict[str, Any]:
    """Run all for real, several at a time, and play them. `quick`: a few of them, shortly."""
    chosen, length_s = (CELLS[::QUICK_EVERY], QUICK_S) if quick else (CELLS, LENGTH_S)
    overheads = calibrated()
    groups = math.ceil(len(chosen) / AT_ONCE)
    found: dict[int, dict[str, Any]] = {}
    for group in range(groups):  # neighbours in different ones: they ask much or little alike
        print(f"group {group + 1} of {groups} ...", file=sys.stderr, flush=True)
        some = {at: chosen[at] for at in range(group, len(chosen), groups)}
        asked = [_asked(cell, at, length_s) for at, cell in some.items()]
        ran = _undisturbed(list(some.values()), asked)
        for (at, cell), asks, told in zip(some.items(), asked, ran.told, strict=True):
            found[at] = _compared(cell, asks, told, overheads, _foreseen(cell, overheads, length_s, at))
            found[at] |= {
                "cpu_busy": round(ran.cpu_busy, 2),
                "stall_ms": _ms(ran.stall_s),
                "tries": ran.tries,
            }
    rows = [found[at] for at in sorted(found)]
    off = [row["off_points"] for row in rows]
    return {
        "overheads_ms": {name: round(1000 * s, 3) for name, s in msgspec.structs.asdict(overheads).items()},
        "seconds_each": length_s,
        "worst_points": max(off),
        "mean_points": round(sum(off) / len(off), 3),
        "foreseen_mean_points": round(sum(row["foreseen_off_points"] for row in rows) / len(rows), 3),
        "cells": rows,
    }


def draw(told: Mapping[str, Any], path: Path) -> Path:
    """What was measured as bars, what was simulated as marks on them."""
    panels = [
        bars.Panel(
            title=f"{cells_of} of requests within the limit",
            note="bar: real, line: simulated with the same arrivals and times, in %",
            bars=tuple(
                bars.Bar(row["cell"], 100 * row["real"], mark=100 * row["simulated"])
                for row in told["cells"]
                if (row["concurrency"] == 1) == pooled
            ),
        )
        for cells_of, pooled in (("Queue at the gateway: share", True), ("Queues at replicas: share", False))
    ]
    return bars.write(path, panels)


# --- one cell


def _asked(cell: Cell, seed: int, length_s: float) -> Asked:
    rng = np.random.default_rng([4, seed])
    arrive_s = poisson([Stretch(cell.per_s, length_s)], rng)
    return Asked(f"cell-{seed}", arrive_s.tolist(), _work_s(cell, len(arrive_s), rng).tolist())


def _work_s(cell: Cell, count: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """All the same, or lognormal with a standard deviation as large as the mean."""
    if cell.work == "constant":
        return np.full(count, MEAN_S)
    variance = math.log(2.0)
    return rng.lognormal(math.log(MEAN_S) - variance / 2, math.sqrt(variance), count)


def _compared(cell: Cell, asked: Asked, told: Told, overheads: Overheads, foreseen: float) -> dict[str, Any]:
    arrive_s, status = np.array(told.sent_s), np.array(told.status)
    real_s = np.where(status == 200, told.latency_s, math.inf)
    requests = Requests(arrive_s, np.array(asked.work_s))
    same = serve(requests, Fleet(speeds=cell.speeds), cell.access, overheads=overheads)
    real, simulated = attainment(real_s, cell.limit_s), attainment(same.latency_s, cell.limit_s)
    work_s = np.array(asked.work_s)
    slack_s = np.array(told.held_s)[status == 200].mean() - work_s[status == 200].mean()
    return {
        "cell": _name(cell),
        "per_s": round(cell.per_s, 2),
        "replicas": list(cell.speeds),
        "balance": cell.balance,
        "concurrency": cell.concurrency,
        "limit_ms": round(1000 * cell.limit_s),
        "requests": len(arrive_s),
        "failed": int((~np.isin(status, (200, 503))).sum()),
        "refused": [int((status == 503).sum()), int(same.refused.sum())],
        "real": round(real, 5),
        "simulated": round(simulated, 5),
        "foreseen": round(foreseen, 5),
        "off_points": round(100 * abs(real - simulated), 3),
        "foreseen_off_points": round(100 * abs(real - foreseen), 3),
        "sampling_points": round(100 * math.sqrt(real * (1 - real) / len(arrive_s)), 3),
        "p95_ms": [_ms(percentile_s(real_s, 0.95)), _ms(percentile_s(same.latency_s, 0.95))],
        "violation_s": [
            violation_seconds(arrive_s, latency_s, cell.limit_s) for latency_s in (real_s, same.latency_s)
        ],
        "held_beyond_ms": None if len(set(cell.speeds)) > 1 else _ms(slack_s),
    }


def _foreseen(cell: Cell, overheads: Overheads, length_s: float, seed: int) -> float:
    """The share within the limit, over runs that each begin with nothing to do."""
    rng = np.random.default_rng([5, seed])
    latencies_s = []
    for _ in range(FORESEEN_RUNS):
        arrive_s = poisson([Stretch(cell.per_s, length_s)], rng)
        requests = Requests(arrive_s, _work_s(cell, len(arrive_s), rng))
        served = serve(requests, Fleet(speeds=cell.speeds), cell.access, overheads=overheads)
        latencies_s.append(served.latency_s)
    return attainment(np.concatenate(latencies_s), cell.limit_s)


def _name(cell: Cell) -> str:
    kind = "" if set(cell.speeds) == {1.0} else ", unlike"
    queue = f", queue {cell.queue}" if cell.queue < 1000 else ""
    wait = f", wait {1000 * cell.queue_s:.0f} ms" if cell.queue_s < 1 else ""
    where = "" if cell.concurrency else f" {cell.balance}"
    return f"{cell.work} {len(cell.speeds)} at {cell.busy:.0%}{where}{kind}{queue}{wait}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * float(seconds), 2)


# --- what a request takes beside its work


def calibrated() -> Overheads:
    """From two services that are no cells, beside three that make as much load as a cell has beside it: one whose
    requests never wait, and one that has all its requests waiting at the gateway from the start.

    Of the first: how long its replicas are held beyond the work, and what answers take beyond that. Of the second: what
    passes at the gateway between answers beyond what the replica is held, which is the way there and back. Medians, as
    a few in the first moments of so many processes are not typical.
    """
    quiet = Cell(speeds=(1.0, 1.0), busy=0.3, work="constant", balance="round-robin", limit_s=1.0)
    full = Cell(speeds=(1.0,), busy=1.0, work="constant", limit_s=1.0)
    loads = [Cell(speeds=(1.0,) * 4, busy=busy, work="lognormal", limit_s=1.0) for busy in (0.7, 0.75, 0.8)]
    length_s, waiting = 20.0, 320
    asked = [
        Asked("quiet", (np.arange(1, length_s * quiet.per_s) / quiet.per_s).tolist(), []),
        Asked("full", [2.0] * waiting, []),
        *(_asked(load, 1000 + at, length_s) for at, load in enumerate(loads)),
    ]
    for each in asked[:2]:
        each.work_s = [MEAN_S] * len(each.arrive_s)
    idle, backlog, *_ = _undisturbed([quiet, full, *loads], asked).told
    held_s, latency_s = np.array(idle.held_s), np.array(idle.latency_s)
    over_s = np.sort(np.array(backlog.sent_s) + np.array(backlog.latency_s))
    hop_s = float(np.median(np.diff(over_s)) - np.median(backlog.held_s))
    return Overheads(
        entry_s=float(np.median(latency_s - held_s)) - hop_s,
        hop_s=hop_s,
        slack_s=float(np.median(held_s)) - MEAN_S,
    )


# --- processes


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What was told, how busy the processors were meanwhile, and how long the machine stood still at most."""

    told: list[Told]
    cpu_busy: float
    stall_s: float
    tries: int = 1


def _undisturbed(some: Sequence[Cell], asked: Sequence[Asked]) -> Ran:
    for tries in range(1, TRIES):
        ran = run(some, asked)
        if ran.stall_s <= STALL_S:
            return msgspec.structs.replace(ran, tries=tries)
        print(f"the machine stood still for {ran.stall_s:.2f} s: once more ...", file=sys.stderr, flush=True)
    return msgspec.structs.replace(run(some, asked), tries=TRIES)


def run(some: Sequence[Cell], asked: Sequence[Asked]) -> Ran:
    """All of them at once behind one gateway."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        ports = [[_started(stack, "replica", str(speed)) for speed in cell.speeds] for cell in some]
        routes = tuple(
            _route(cell, each.service, at) for cell, each, at in zip(some, asked, ports, strict=True)
        )
        key = Key(
            name="bench", digest=hashlib.sha256(KEY).hexdigest(), requests_per_s=1e6, tokens_per_min=1e12
        )
        write_routes(folder, Routes(version=1, routes=routes, keys=(key,)))
        port = stack.enter_context(_gateway(folder))
        file = folder / "asked.json"
        file.write_bytes(msgspec.json.encode(list(asked)))
        psutil.cpu_percent()
        command = [sys.executable, str(HERE / "serve_cells_load.py"), "client", str(port), str(file)]
        probe = http.client.HTTPConnection("127.0.0.1", port)
        with Stalls() as machine, Stalls(BEAT_S, lambda: _asked_health(probe)) as gateway:
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        busy = psutil.cpu_percent() / 100
    told = msgspec.json.decode(done.stdout, type=list[Told])
    stall_s = max(machine.worst_s, gateway.worst_s, *(each.late_s for each in told))
    return Ran(told=told, cpu_busy=busy, stall_s=stall_s)


def _asked_health(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/healthz")
    connection.getresponse().read()


def _started(stack: ExitStack, *arguments: str) -> int:
    """The port of a process that ends with the stack."""
    command = [sys.executable, str(HERE / "serve_cells_load.py"), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    return int(process.stdout.readline())


def _route(cell: Cell, service: str, ports: Sequence[int]) -> Route:
    targets = tuple(
        Target(key=f"{service}/{at}", attempt=1, host="127.0.0.1", port=port) for at, port in enumerate(ports)
    )
    return Route(
        service=service,
        models=(),
        revisions=(Revision(number=1, share=1.0, targets=targets),),
        balance=cell.balance,
        concurrency_max=cell.concurrency,
        queue_max=cell.queue,
        queue_s=cell.queue_s,
    )


@contextmanager
def _gateway(folder: Path) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-m", "suanli.serving.gateway", "--dir", str(folder)])
    try:
        while not ((folder / "gateway.json").exists() and (folder / "worker-0.json").exists()):
            assert process.poll() is None, "the gateway did not start"
            time.sleep(0.02)
        yield msgspec.json.decode((folder / "gateway.json").read_bytes())["port"]
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    quick = "--quick" in sys.argv[1:]
    told = cells(quick)
    for row in told["cells"]:
        print(row, flush=True)
    print({name: value for name, value in told.items() if name != "cells"})
    if not quick:
        results = HERE / "results"
        text = msgspec.json.format(msgspec.json.encode(told), indent=1)
        (results / "serve_cells.json").write_bytes(text + b"\n")
        draw(told, results / "serve_cells.svg")
