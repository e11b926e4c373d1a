"""Long simulations: the whole Philly trace by the command line under three hash seeds, and how its cost grows.

82,247 jobs on 50 nodes of 8 accelerators, shortest remaining time first as an oracle knows it, each process alone on
one core. Growth is measured in this process on the first jobs of the same trace, and on larger fleets to which they
come so many times as fast.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from suanli.domain.fleet import Fleet
from suanli.policies.registry import parse
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Trace
from suanli.traces import context_of, fleet_of, read, trace_of

POLICY = "srtf+best-fit"
NODES = 50
HASH_SEEDS = (1, 2, 3)
JOBS = (5_000, 10_000, 20_000, 40_000)
FLEETS = (50, 100, 200, 400)
FLEET_JOBS = 10_000

Row = dict[str, str | int | float]


def measure(data: Path) -> Iterator[Row]:
    """One row for each run."""
    path = data / "philly/philly.csv.gz"
    with tempfile.TemporaryDirectory() as folder:
        for seed in HASH_SEEDS:
            yield _by_command(path, _fleet_file(Path(folder), NODES), seed)
        trace, fleet = _trace(path, _fleet_file(Path(folder), NODES))
        _played(_first(trace, 500, 1.0), fleet)  # compiled before it counts
        for jobs in JOBS:
            yield {"run": "trace", **_played(_first(trace, jobs, 1.0), fleet)}
        for nodes in FLEETS:
            larger = fleet_of(str(_fleet_file(Path(folder), nodes)))
            yield {"run": "fleet", **_played(_first(trace, FLEET_JOBS, NODES / nodes), larger)}


def _by_command(path: Path, fleet: Path, hash_seed: int) -> Row:
    command = [
        *(str(Path(sys.executable).with_name("suanli")), "simulate", "-q", "-o", "json", "--oracle"),
        *("--trace", f"philly:{path}", "--fleet", str(fleet), "--policy", POLICY),
    ]
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    began_s = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, env=env)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        told = json.loads(out.read())
    return {
        "run": f"command, hash seed {hash_seed}",
        "jobs": told["jobs_done"],
        "nodes": NODES,
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "ms_per_job": round(1e3 * (used.ru_utime + used.ru_stime) / told["jobs_done"], 3),
        "wall_s": round(time.perf_counter() - began_s, 1),
        "peak_mib": round(used.ru_maxrss / 1024),
        "jct_mean_h": round(told["jct_mean_s"] / 3600, 3),
        "decisions_hash": told["decisions_hash"][:16],
    }


def _played(trace: Trace, fleet: Fleet) -> Row:
    began_s, wall_s = time.thread_time(), time.perf_counter()
    run = Simulation(trace, fleet, parse(POLICY), Conditions(oracle=True), np.random.default_rng(0))
    outcome = run.run()
    cpu_s, jobs = time.thread_time() - began_s, len(outcome.records)
    return {
        "jobs": jobs,
        "nodes": len(fleet.nodes),
        "cpu_s": round(cpu_s, 1),
        "ms_per_job": round(1e3 * cpu_s / jobs, 3),
        "wall_s": round(time.perf_counter() - wall_s, 1),
        "peak_mib": "",
        "jct_mean_h": round(
            float(np.mean([(r.ended_s or np.nan) - r.submitted_s for r in outcome.records])) / 3600, 3
        ),
        "decisions_hash": outcome.decisions_hash[:16],
    }


def _trace(path: Path, fleet_file: Path) -> tuple[Trace, Fleet]:
    fleet = fleet_of(str(fleet_file))
    return trace_of(read(f"philly:{path}", context_of(fleet, None)), fleet), fleet


def _first(trace: Trace, jobs: int, slower: float) -> Trace:
    """The first jobs, the time between them `slower` times as long."""
    arrivals = tuple(
        msgspec.structs.replace(arrival, at_s=arrival.at_s * slower) for arrival in trace.arrivals[:jobs]
    )
    return msgspec.structs.replace(trace, arrivals=arrivals)


def _fleet_file(folder: Path, nodes: int) -> Path:
    path = folder / f"{nodes}.yaml"
    node = f"{{name: p, count: {nodes}, cpus: 64, memory: 512 GiB, accelerators: 8 x P100}}"
    path.write_text(f"kind: fleet\nname: philly\nnodes: [{node}]\n")
    return path
