"""The weights of `leftovers`, fitted on traces of openb, and what they are worth on a trace that they never saw.

    python benchmarks/fit_leftovers.py DATA [--leave-out none|TRACE|each|family] [--output FILE]

DATA is as for `decide_openb.py`, which also has the protocol. A fit begins with fragmentation alone and goes on by
CMA-ES (Hansen 2016, "The CMA evolution strategy: a tutorial", in the authors' `cma`): a generation of weights is
ranked by what each leaves unallocated on the same few small fleets, a tenth of the nodes with pods drawn to ask for
130 % of them, and the next generation gets others, so that what is fitted is no one draw. For the same reason the end
is the mean of the last third of generations, not the best weights ever seen.

Weights are then measured at full size, through `kernel.step`, on what was left out (with nothing left out, on all
traces), beside published FGD and the weights that are shipped. `each` leaves out one trace after another; as traces of
a kind have most pods in common, `family` is the harder test. The same seed gives the same weights.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import decide_openb
import msgspec
import numpy as np
from decide_openb import OURS, PUBLISHED, RATIO, TRACES, Row, rows_of, runs_of
from openb_published import POINTS, published
from place_in_turn import Floats, Instance, Pods, compiled, instance_of, pods_of

from suanli.domain.fleet import Fleet
from suanli.policies.place.leftovers import LEFTOVERS, MEASURES, WEIGHTS
from suanli.policies.registry import PLACEMENTS

START = np.zeros((len(WEIGHTS), len(MEASURES)))
START[:, 0] = 1.0
"""Fragmentation alone, for each kind of request: known before any trace was seen."""

STEP = 0.3
NODES_PER_NODE = 10
FLEETS = 6
"""Small fleets on which one generation is ranked, each of another trace."""
GENERATIONS, POPULATION = 100, 20
SETTLED = 3
"""The mean of the last third of generations is taken."""
SEED = 42
FITTED = "fitted"


def small(fleet: Fleet, pods: Pods, rng: np.random.Generator) -> Instance:
    """Every tenth node of each kind in random order, and pods drawn until the next would ask for more than 130 %."""
    kinds = sorted(rng.permutation(len(fleet.nodes)).tolist(), key=lambda i: fleet.nodes[i].accelerators)
    some = kinds[int(rng.integers(NODES_PER_NODE)) :: NODES_PER_NODE]
    nodes = [fleet.nodes[i] for i in rng.permutation(some).tolist()]
    most = RATIO * sum(len(node.accelerators) for node in nodes)
    enough = int(2 * most / pods.asked[pods.shape].mean())
    drawn = pods.shape[rng.integers(len(pods.shape), size=enough)]
    last = int(np.searchsorted(np.cumsum(pods.asked[drawn]), most, "right"))
    return instance_of(nodes, pods, drawn[:last])


def unallocated(at: Instance, weights: Floats) -> Floats:
    """Part of the fleet's devices that nobody has got when so many were asked for, float[POINTS]."""
    found = compiled()(at, weights.reshape(START.shape))
    total, asked = int((at.class_models[at.classes] >= 0).sum()), at.counts[at.shapes]
    last = np.searchsorted(100.0 * np.cumsum(asked) / total, POINTS).clip(max=len(asked) - 1)
    return 1.0 - np.cumsum(np.where(found >= 0, asked, 0.0))[last] / total


def fit(fleet: Fleet, traces: Sequence[Pods], seed: int, generations: int = GENERATIONS) -> Floats:
    """Weights, float[4, 11], that leave the least of what `START` leaves, on average over these traces."""
    from cma import CMAEvolutionStrategy

    rng, means = np.random.default_rng(seed), list[Floats]()
    options = {"seed": seed, "popsize": POPULATION, "verbose": -9}
    search = CMAEvolutionStrategy(START.ravel(), STEP, options)
    for generation in range(1, generations + 1):
        some = rng.permutation(len(traces))[:FLEETS].tolist()
        fleets = [small(fleet, traces[i], rng) for i in some]
        before = np.array([unallocated(at, START) for at in fleets])
        tried = search.ask()
        left = np.array([[unallocated(at, w) for at in fleets] for w in tried])
        told = (left / before).mean(axis=(1, 2))
        search.tell(tried, told.tolist())
        means.append(np.array(search.mean))
        if generation % 30 == 0:
            print(f"  {generation}: {told.mean():.3f} of the start, step {search.sigma:.3f}", file=sys.stderr)
    return np.round(np.mean(means[-generations // SETTLED :], axis=0).reshape(START.shape), 2)


def held_out(data: Path, trace: str, weights: Floats, seeds: int) -> Row:
    """What these weights leave of a trace at full size, beside published FGD and the weights that are shipped."""
    PLACEMENTS[FITTED] = msgspec.structs.replace(LEFTOVERS, weights=tuple(map(tuple, weights.tolist())))
    runs = runs_of(trace, data=data, policies=(FITTED, OURS), seeds=seeds, shuffled=True, random_ties=False)
    known = published(data)
    fitted, shipped = rows_of(runs, known)
    fgd = known[trace, PUBLISHED["fgd"]][-1]
    return {
        "trace": trace,
        "seeds": seeds,
        "published_fgd_pct": round(fgd, 2),
        "at_130_pct": fitted["at_130_pct"],
        "shipped_130_pct": shipped["at_130_pct"],
        "of_fgd": fitted["of_fgd"],
        "shipped_of_fgd": shipped["of_fgd"],
    }


def summary(rows: Sequence[Row]) -> Row:
    """Over the traces measured: how much less stays unallocated than under published FGD."""
    of_fgd, shipped = (np.array([float(row[key]) for row in rows]) for key in ("of_fgd", "shipped_of_fgd"))
    fewer_pct = 100.0 * (1.0 - of_fgd)
    return {
        "traces": len(rows),
        "above_fgd": int((of_fgd < 1.0).sum()),
        "fewer_unallocated_pct": round(float(fewer_pct.mean()), 1),
        "fewest_pct": round(float(fewer_pct.min()), 1),
        "most_pct": round(float(fewer_pct.max()), 1),
        "shipped_fewer_pct": round(100.0 * (1.0 - float(shipped.mean())), 1),
    }


def measure(asked: argparse.Namespace) -> Iterator[Row]:
    """Weights and their score for whatever is left out, and then the summary."""
    read = {name: decide_openb.read(asked.data, name) for name in TRACES}
    fleet = read[TRACES[0]][0]
    traces = {name: pods_of(trace) for name, (_, trace) in read.items()}
    rows: list[Row] = []
    for left_out in groups(asked.leave_out):
        start_s = time.process_time()
        print(f"without {', '.join(left_out) or 'none'}", file=sys.stderr)
        used = [pods for name, pods in traces.items() if name not in left_out]
        weights = fit(fleet, used, asked.seed, asked.generations)
        cost: Row = {
            "fit_cpu_s": round(time.process_time() - start_s),
            "weights": json.dumps(weights.tolist()),
        }
        for name in left_out or TRACES:
            rows.append({**held_out(asked.data, name, weights, asked.seeds), **cost})
            yield rows[-1]
    yield summary(rows)


def groups(leave_out: str) -> list[tuple[str, ...]]:
    """What is left out together: nothing, a trace, each by itself, or all whose names differ by a number only."""
    if leave_out == "none":
        return [()]
    if leave_out == "each":
        return [(name,) for name in TRACES]
    if leave_out == "family":
        return [tuple(family) for _, family in groupby(TRACES, lambda name: name.rstrip("0123456789"))]
    return [(leave_out,)]


def main() -> int:
    from run import measured

    asked = _arguments()
    name = f"--leave-out {asked.leave_out} --seed {asked.seed}"
    found = measured(f"python benchmarks/fit_leftovers.py DATA {name}", lambda: measure(asked))
    if asked.output:
        known = json.loads(asked.output.read_text()) if asked.output.exists() else {}
        asked.output.write_text(json.dumps({**known, name: found}, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="The weights of leftovers, and what they are worth on new traces."
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--leave-out", default="none", choices=("none", "each", "family", *TRACES))
    parser.add_argument("--generations", type=int, default=GENERATIONS)
    parser.add_argument("--seed", type=int, default=SEED, help="of the fit")
    parser.add_argument("--seeds", type=int, default=3, help="of the measurement, from 42 on")
    parser.add_argument("--output", type=Path, help="each kind of fit replaces its own part of the file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
