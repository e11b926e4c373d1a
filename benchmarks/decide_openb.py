"""Placements on Alibaba's openb traces through `kernel.step`, beside what was published for them.

    python benchmarks/decide_openb.py DATA [--seeds 10] [--traces default,cpu250] [--policies fgd,best-fit]

DATA is a folder with `csv/openb_*.csv` and, to compare with, `expected/analysis_allo_discrete.csv` of
hkust-adsl/kubernetes-scheduler-simulator. The protocol is that of Weng et al. 2023 (USENIX ATC): the pods of a trace
in an order drawn by the seed, then copies of random ones until 130 % of the fleet's GPUs are asked for; one is placed
after another, what fits nowhere is dropped, nothing leaves. One step places them all, in order of submission.

The order of nodes decides ties, and it alone moves one run by half a point and more. Both orders are those of the
published run of the same seed (`openb_published`), so that run is compared with run: `alike` are those that end up the
same, `noise` is two standard errors of the mean difference. Random placement draws during the run, and from lists whose
order threads decide: there only what arrives is the same. `--node-order file` keeps the list's order instead.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from openb_published import POINTS, as_published, mix_as_published, published, published_runs

from suanli.domain.decision import Memory, Place
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record, Status
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.mix import mix_of
from suanli.policies.parts import Policy
from suanli.policies.registry import parse
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Trace
from suanli.spec.problems import Findings
from suanli.traces.arrivals import accelerators_of
from suanli.traces.context import context_of
from suanli.traces.openb import read_openb, read_openb_fleet
from suanli.traces.table import trace_of

TRACES = (
    *("default", "cpu050", "cpu100", "cpu200", "cpu250"),
    *("gpushare40", "gpushare60", "gpushare80", "gpushare100"),
    *("multigpu20", "multigpu30", "multigpu40", "multigpu50"),
    *("gpuspec10", "gpuspec20", "gpuspec25", "gpuspec33"),
)
PUBLISHED = {
    "random": "01-Random",
    "dot-product": "02-DotProd",
    "clustering": "03-GpuClustering",
    "packing": "04-GpuPacking",
    "best-fit": "05-BestFit",
    "fgd": "06-FGD",
}
OURS = "leftovers"
RATIO = 1.3
FIRST_SEED = 42
SEEDS = 10
MIGRATE, MIGRATING_SEEDS = 0.01, 2
WITHIN = 0.25
"""Points by which a mean may differ from the published one."""
ALIKE = 0.015
"""Points by which runs differ at most that do the same: what is published is rounded twice."""

Row = dict[str, str | int | float]


class Run(msgspec.Struct, frozen=True):
    """One trace, policy and seed: allocation in % at each of POINTS, and what it cost.

    `published` is that of the authors' run with this seed; empty where there is none.
    """

    trace: str
    policy: str
    seed: int
    allocation: tuple[float, ...]
    published: tuple[float, ...]
    placed: int
    pods: int
    cpu_s: float


def measure(data: Path) -> Iterator[Row]:
    """One row for each trace and policy, a summary, then ours with random ties, and with work that may be moved."""
    start_s, folder = time.perf_counter(), data / "openb"
    policies = (*PUBLISHED, OURS)
    work = partial(runs_of, data=folder, policies=policies, seeds=SEEDS, shuffled=True, random_ties=False)
    with get_context("spawn").Pool(2) as pool:
        runs = [run for found in pool.map(work, TRACES, chunksize=1) for run in found]
    known = published(folder)
    rows = list(rows_of(runs, known))
    yield from rows
    yield summary(rows, runs, time.perf_counter() - start_s)
    ties = runs_of(
        "default", data=folder, policies=("fgd", OURS), seeds=SEEDS, shuffled=True, random_ties=True
    )
    for row in rows_of(ties, known):
        yield {**row, "policy": f"{row['policy']}, random ties"}
    for seed in range(FIRST_SEED, FIRST_SEED + MIGRATING_SEEDS):
        yield _migrating(folder, seed)


def _migrating(data: Path, seed: int) -> Row:
    """The default trace as it arrives, in steps of a percent of the pods, where 1 % of what was started may be moved.

    `bound_pct` is what no choice of so many moves could exceed once all else stands as it does: a move changes what is
    left over on two devices, and nothing is left over but slivers of shared ones.
    """
    listed, pods = read(data, "default")
    arrived, fleet = as_published(pods, listed, RATIO, seed)
    mix = mix_of((arrival.workload.demand, 1.0) for arrival in pods.arrivals)
    policy = msgspec.structs.replace(parse(f"fifo+{OURS}"), mix=mix)
    grid_s = arrived.arrivals[-1].at_s / 100
    row: Row = {"trace": "default", "policy": f"{OURS}, moving", "seed": seed}
    for migrate in (0.0, MIGRATE):
        here = msgspec.structs.replace(fleet, migrate=migrate)
        run = Simulation(arrived, here, policy, Conditions(grid_s=grid_s), np.random.default_rng(seed))
        while run.advance():
            pass
        left = np.sort(run.state.table.device_free[run.state.table.device_model >= 0])[::-1]
        total = len(left)
        row[f"at_130_pct, {migrate:.0%}"] = round(100.0 * (1.0 - float(left.sum()) / total), 2)
        if not migrate:
            moves = int(MIGRATE * len(run.state.live))
            row["bound_pct"] = round(100.0 * (1.0 - float(left[2 * moves :].sum()) / total), 2)
    row["moves"] = run.memory.migrations
    return row


def read(data: Path, trace: str) -> tuple[Fleet, Trace]:
    """The nodes and the pods of a trace, as their files list them."""
    fleet = read_openb_fleet(data / "csv/openb_node_list_gpu_node.csv", Findings(("nodes",)))
    found = read_openb(data / f"csv/openb_pod_list_{trace}.csv", Findings((trace,)), context_of(fleet))
    return fleet, trace_of(found, fleet)


def runs_of(
    trace: str, *, data: Path, policies: Sequence[str], seeds: int, shuffled: bool, random_ties: bool
) -> list[Run]:
    """All policies and seeds of one trace; the first step of a process, which loads the loops, is not counted."""
    listed, pods = read(data, trace)
    known = published_runs(data)
    own = mix_of((arrival.workload.demand, 1.0) for arrival in pods.arrivals)
    theirs = mix_as_published(data / f"csv/openb_pod_list_{trace}.csv")
    found: list[Run] = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        arrived, fleet = as_published(pods, listed, RATIO, seed)
        state = State(fleet if shuffled else listed)
        state.apply(_waiting(arrived))
        for name in policies:
            mix = theirs if name in PUBLISHED else own
            policy = msgspec.structs.replace(parse(f"fifo+{name}"), mix=mix, random_ties=random_ties)
            if not found:
                step(state, policy, Memory(), 0.0, np.random.default_rng(seed), explained=False)
            expected = known.get((trace, PUBLISHED.get(name, ""), seed), ())
            found.append(_run(trace, name, seed, state, policy, arrived, expected))
    return found


def _waiting(trace: Trace) -> list[Record]:
    return [
        Record(
            key=arrival.workload.name,
            workload=arrival.workload,
            seq=i,
            submitted_s=0.0,
            waiting_since_s=0.0,
            status=Status.WAITING,
        )
        for i, arrival in enumerate(trace.arrivals)
    ]


def _run(
    trace: str,
    name: str,
    seed: int,
    state: State,
    policy: Policy,
    arrived: Trace,
    expected: tuple[float, ...],
) -> Run:
    gc.collect()
    cpu_s = time.process_time()
    decision, _ = step(state, policy, Memory(), 0.0, np.random.default_rng(seed), explained=False)
    cpu_s = time.process_time() - cpu_s
    placed = {action.key for action in decision.actions if isinstance(action, Place)}
    return Run(
        trace,
        name,
        seed,
        _allocation(placed, arrived, state.fleet),
        expected,
        len(placed),
        len(arrived.arrivals),
        cpu_s,
    )


def _allocation(placed: set[str], arrived: Trace, fleet: Fleet) -> tuple[float, ...]:
    """GPUs allocated, in % of the fleet's, when so many percent of them had been asked for.

    As the authors read it off: the mean after each pod, as long as what was asked for rounds to that percent.
    """
    total = sum(len(node.accelerators) for node in fleet.nodes)
    asked = np.array([accelerators_of(arrival.workload) for arrival in arrived.arrivals])
    got = np.where([arrival.workload.name in placed for arrival in arrived.arrivals], asked, 0.0)
    percent = 100.0 * np.cumsum(asked) / total
    allocated = 100.0 * np.cumsum(got) / total
    return tuple(float(allocated[np.round(percent) == point].mean()) for point in POINTS)


def rows_of(runs: Sequence[Run], known: dict[tuple[str, str], tuple[float, ...]]) -> Iterator[Row]:
    """Means over seeds beside those of the published runs.

    `of_fgd` is what stays unallocated, as a part of published FGD's.
    """
    for trace, policy in dict.fromkeys((run.trace, run.policy) for run in runs):
        mine = [run for run in runs if (run.trace, run.policy) == (trace, policy)]
        mean = np.mean([run.allocation for run in mine], axis=0)
        row: Row = {"trace": trace, "policy": policy, "seeds": len(mine)}
        fgd = known.get((trace, PUBLISHED["fgd"]))
        expected = np.array([run.published for run in mine if run.published])
        off = np.array([run.allocation for run in mine if run.published]) - expected
        for i, point in enumerate(POINTS):
            row[f"at_{point}_pct"] = round(float(mean[i]), 2)
            row[f"published_{point}_pct"] = round(float(expected[:, i].mean()), 2) if len(off) else ""
            row[f"off_{point}"] = round(float(off[:, i].mean()), 2) + 0.0 if len(off) else ""  # no -0.0
            row[f"noise_{point}"] = _noise(off[:, i]) if len(off) > 1 else ""
        row["alike"] = int((np.abs(off) < ALIKE).all(axis=1).sum()) if len(off) else ""
        row["sd"] = round(float(np.std([run.allocation[-1] for run in mine])), 2)
        row["of_fgd"] = round((100.0 - float(mean[-1])) / (100.0 - fgd[-1]), 3) if fgd else ""
        row["placed_per_cpu_s"] = round(sum(run.placed for run in mine) / sum(run.cpu_s for run in mine))
        yield row


def _noise(off: NDArray[np.float64]) -> float:
    """Two standard errors of the mean of what runs differ by from the published ones of the same seeds."""
    return round(2.0 * float(np.std(off, ddof=1)) / len(off) ** 0.5, 2)


def summary(rows: Sequence[Row], runs: Sequence[Run], wall_s: float) -> Row:
    """Which published cells are missed, and how ours compares with FGD."""
    compared = [row for row in rows if row["published_130_pct"] != ""]
    missed = [
        f"{row['trace']} {row['policy']} at {point} %: {row[f'off_{point}']:+}"
        for row in compared
        for point in POINTS
        if abs(float(row[f"off_{point}"])) > WITHIN
    ]
    ours = [float(row["of_fgd"]) for row in rows if row["policy"] == OURS and row["of_fgd"] != ""]
    by_policy = dict.fromkeys(run.policy for run in runs)
    speed = {
        policy: round(sum(r.placed for r in runs if r.policy == policy) / _cpu_s(runs, policy))
        for policy in by_policy
    }
    return {
        "cells": len(compared) * len(POINTS),
        "missed": "; ".join(missed) or "none",
        "runs_compared": sum(1 for run in runs if run.published),
        "runs_alike": sum(int(row["alike"]) for row in compared if row["alike"] != ""),
        "ours_unallocated_of_fgd": round(float(np.mean(ours)), 3) if ours else "",
        "ours_worst_of_fgd": max(ours) if ours else "",
        "placed_per_cpu_s": json.dumps(speed),
        "wall_s": round(wall_s, 1),
    }


def _cpu_s(runs: Sequence[Run], policy: str) -> float:
    return sum(run.cpu_s for run in runs if run.policy == policy)


def main() -> int:
    asked = _arguments()
    start_s = time.perf_counter()
    work = partial(
        runs_of,
        data=asked.data,
        policies=asked.policies.split(","),
        seeds=asked.seeds,
        shuffled=asked.node_order == "shuffled",
        random_ties=asked.ties == "random",
    )
    with get_context("spawn").Pool(asked.processes) as pool:
        by_trace = pool.map(work, asked.traces.split(","), chunksize=1)
    runs = [run for found in by_trace for run in found]
    rows = list(rows_of(runs, published(asked.data)))
    for i, row in enumerate(rows):
        if not i:
            print("  ".join(f"{name:>17}" for name in row))
        print("  ".join(f"{value!s:>17}" for value in row.values()))
    told = summary(rows, runs, time.perf_counter() - start_s)
    print("\n".join(f"{name}: {value}" for name, value in told.items()))
    if asked.output:
        asked.output.write_text(
            json.dumps({"command": sys.argv, "summary": told, "rows": rows}, indent=1) + "\n"
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Placements on openb, beside what was published.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--traces", default=",".join(TRACES))
    parser.add_argument("--policies", default=",".join((*PUBLISHED, OURS)))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--node-order", choices=("shuffled", "file"), default="shuffled")
    parser.add_argument("--ties", choices=("first", "random"), default="first")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
