"""How honest forecasts are: the share of true starts inside the 80 % band, and of suggested changes that hold.

Clusters of 8 nodes of 8 accelerators with Poisson arrivals of jobs of 1 to 16 devices that ask for 75 to 95 % of them;
how long each runs is declared with an error (log-normal), which the forecast must learn from what has finished. In the
middle of each life waiting workloads are asked about, and the life goes on, with arrivals, until they have started. All
on two processes.
"""

from collections.abc import Iterator
from multiprocessing import get_context

import msgspec
import numpy as np

from suanli.domain.fleet import Fleet, Node
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Kind, Workload
from suanli.kernel.relax import changes_that_help
from suanli.policies.registry import parse
from suanli.sim.foresee import foresee, runs_if
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Arrival, Trace

Row = dict[str, str | int | float]

POLICIES = ("fifo", "priority", "sjf")
LIVES = 20
ASKED = 4
JOBS = 1_500
FIRST_ASKED = 130
"""Jobs that have arrived by then."""
SIGMA = 0.6
SIZES = ((1, 1), (1, 1), (1, 2), (1, 4), (1, 8), (2, 8))
LOADS = (0.75, 0.95)
DECLARED_S, DECLARED_SIGMA, BIAS = 4000.0, 0.8, 0.2


class Asked(msgspec.Struct, frozen=True):
    """One workload that was asked about: `side` is -1 where it started before the band, 1 after it, 0 inside."""

    side: int
    suggested: int
    held: int


def measure(lives: int = LIVES) -> Iterator[Row]:
    """One row for each policy, and one for all."""
    of = [(policy, seed) for policy in POLICIES for seed in range(lives)]
    with get_context("spawn").Pool(2) as pool:
        lived = pool.starmap(_life, of, chunksize=1)
    asked = {
        policy: [one for (p, _), life in zip(of, lived, strict=True) if p == policy for one in life]
        for policy in POLICIES
    }
    for policy, told in (*asked.items(), ("all", [one for several in asked.values() for one in several])):
        suggested = sum(one.suggested for one in told)
        yield {
            "policy": policy,
            "asked": len(told),
            "before_pct": _percent([one.side < 0 for one in told]),
            "in_band_pct": _percent([one.side == 0 for one in told]),
            "after_pct": _percent([one.side > 0 for one in told]),
            "suggestions": suggested,
            "hold_pct": round(100 * sum(one.held for one in told) / max(suggested, 1), 2),
        }


def _percent(of: list[bool]) -> float:
    return round(100 * float(np.mean(of)), 1) if of else 0.0


def _life(policy: str, seed: int) -> list[Asked]:
    rng = np.random.default_rng(seed)
    run = Simulation(_trace(rng), _fleet(), parse(policy), Conditions(seed=seed), np.random.default_rng(seed))
    while run.arrived < FIRST_ASKED:
        run.advance()
    told: list[Asked] = []
    while len(told) < ASKED and run.arrived < JOBS // 2:
        for _ in range(int(rng.integers(5, 25))):
            run.advance()
        waiting = sorted(run.state.waiting)
        if waiting:
            told.append(_asked(run, waiting[int(rng.integers(len(waiting)))], rng))
    return told


def _asked(run: Simulation, key: str, rng: np.random.Generator) -> Asked:
    """What is said of it, and then what becomes of it; the life has gone on until it started."""
    now_s = run.now_s
    seen = foresee(run.state, run.memory, run.policy, key, now_s, rng)
    changes = changes_that_help(run.state, run.policy, run.memory, key, now_s, rng)
    true = [runs_if(run.state, run.memory, run.policy, key, change, now_s, rng) for change, _ in changes]
    number = run.state.records[key].attempts_made
    while run.state.records[key].attempts_made == number and run.advance():
        pass
    started_s = run.now_s - now_s
    earliest_s = seen.beyond_s if seen.earliest_s is None else seen.earliest_s
    is_late = seen.latest_s is not None and started_s > seen.latest_s
    return Asked(-1 if started_s < earliest_s else int(is_late), len(true), sum(true))


def _trace(rng: np.random.Generator) -> Trace:
    mean_s = DECLARED_S * float(np.exp(DECLARED_SIGMA**2 / 2 + BIAS + SIGMA**2 / 2))
    devices_mean = float(np.mean([nodes * devices for nodes, devices in SIZES]))
    gap_s = mean_s * devices_mean / (64 * float(rng.uniform(*LOADS)))
    at_s = 0.0
    arrivals: list[Arrival] = []
    for i in range(JOBS):
        at_s += float(rng.exponential(gap_s))
        nodes, devices = SIZES[int(rng.integers(len(SIZES)))]
        declared_s = float(np.exp(rng.normal(np.log(DECLARED_S), DECLARED_SIGMA)))
        workload = Workload(
            name=f"job{i}",
            kind=Kind.TRAIN,
            run=("train", str(i)),
            nodes=nodes,
            demand=Demand(cpus=4.0 * devices, accelerators=(AcceleratorDemand("H100", float(devices)),)),
            duration_s=declared_s,
            priority=50 + 10 * int(rng.integers(3)),
        )
        arrivals.append(
            Arrival(at_s=at_s, workload=workload, work=declared_s * float(np.exp(rng.normal(BIAS, SIGMA))))
        )
    return Trace(name="eta", arrivals=tuple(arrivals))


def _fleet() -> Fleet:
    like = Node(name="", cpus=64, memory_bytes=2**40, accelerators=("H100",) * 8)
    return Fleet(name="eta", nodes=tuple(msgspec.structs.replace(like, name=f"n{i}") for i in range(8)))


if __name__ == "__main__":
    for row in measure(8):
        print(row)
