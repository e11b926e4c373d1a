"""The published openb runs: what came out of them, and the same pods, nodes and mix for runs of our own.

The authors' simulator draws from Go's `math/rand`, seeded with 42 to 51, and breaks ties by a number that it draws for
each node. Drawn again here, its 850 runs under policies that draw nothing themselves can be had to the last printed
digit, at all 131 points of demand; under other orders the mean of ten runs is off by up to half a point.

Sources: hkust-adsl/kubernetes-scheduler-simulator, `pkg/simulator/{core,simulator}.go`, `pkg/utils/frag.go`; Go,
`math/rand` (an additive lagged Fibonacci generator by Mitchell and Reeds, s[n] = s[n-607] + s[n-273] modulo 2^64).
"""

import csv
from collections import Counter
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.fleet import Fleet
from suanli.policies.mix import COVERAGE, Mix, Typical
from suanli.sim.trace import Trace
from suanli.traces.accelerators import model_of
from suanli.traces.arrivals import arrivals

POINTS = (100, 130)
"""Arrived demand, in percent of the fleet's GPUs, at which results are compared."""

FAR, NEAR = 607, 273
WORD, HALF, THIRD = 2**64 - 1, 2**63 - 1, 2**31 - 1
STEPS = 7_800_000_000_000
"""How far Go's authors ran the generator from seed 1; a seed only varies the state that they found there."""

ELSEWHERE = 10
"""Numbers that parts of Kubernetes take as they start, after the pods are drawn and before the nodes are.

Found by trying: with any other number, no run comes out the same.
"""

Words = NDArray[np.uint64]


def published(data: Path) -> dict[tuple[str, str], tuple[float, ...]]:
    """Means over the ten published seeds, by trace and policy; empty where the folder has none."""
    cells: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for (trace, policy, _), figures in published_runs(data).items():
        cells.setdefault((trace, policy), []).append(figures)
    return {key: tuple(np.mean(rows, axis=0).tolist()) for key, rows in cells.items()}


def published_runs(data: Path) -> dict[tuple[str, str, int], tuple[float, ...]]:
    """By trace, policy and seed; empty where the folder has none."""
    path = data / "expected/analysis_allo_discrete.csv"
    return {
        (row["workload"].removeprefix("openb_pod_list_"), row["sc_policy"], int(row["seed"])): tuple(
            float(row[str(point)]) for point in POINTS
        )
        for row in (csv.DictReader(path.open()) if path.exists() else ())
    }


def as_published(pods: Trace, fleet: Fleet, ratio: float, seed: int) -> tuple[Trace, Fleet]:
    """The pods as they came and the nodes in the order that decided ties, in the published run of this seed."""
    draws = GoRandom(seed)
    draws.skip(1)
    arrived = arrivals(pods, fleet, ratio, draws)
    draws.skip(ELSEWHERE)
    by_name = sorted(fleet.nodes, key=lambda node: node.name)
    ranked = sorted(zip(draws.ranks(len(by_name)), by_name, strict=True), key=lambda pair: pair[0])
    return arrived, msgspec.structs.replace(fleet, nodes=tuple(node for _, node in ranked))


def mix_as_published(pods: Path) -> Mix:
    """The typical pods of a pod list, as the authors count them.

    Other than by `mix_of`, pods whose models are spelt otherwise (`V100M16|V100M32|V100M32`) are others, and of equally
    frequent ones the largest come first: on gpuspec25 other rare shapes are in the mix, and FGD lands 0.4 points lower.
    """
    counts: Counter[tuple[int, int, int, str]] = Counter()
    with pods.open() as file:
        for row in csv.DictReader(file):
            count = int(row["num_gpu"])
            share = int(row["gpu_milli"]) if count else 0
            counts[int(row["cpu_milli"]), share, count, row.get("gpu_spec") or ""] += 1
    total, covered = counts.total(), 0
    frequent: list[tuple[int, tuple[int, int, int, str]]] = []
    for times, shape in sorted(((times, shape) for shape, times in counts.items()), reverse=True):
        if covered >= COVERAGE * total:
            break
        frequent.append((times, shape))
        covered += times
    return Mix(
        tuple(
            Typical(times / covered, cpus / 1000, count, share / 1000, _models(spec))
            for times, (cpus, share, count, spec) in frequent
        )
    )


def _models(spec: str) -> tuple[str, ...]:
    return tuple(model_of(name) for name in spec.split("|") if name)


class GoRandom:
    """Go's `math/rand` with a seed; named as NumPy's `Generator` names what they have in common."""

    def __init__(self, seed: int) -> None:
        varied = zip(_sown(seed % THIRD, (40, 20, 0)), _far_out(), strict=True)
        self._state = [ours ^ theirs for ours, theirs in varied]
        self._at = 0

    def skip(self, times: int) -> None:
        for _ in range(times):
            self._next()

    def integers(self, below: int, /) -> int:
        """`Intn`: 31 bits at a time, until they are not among the last few that would make small ones likelier."""
        number = self._next() >> 32
        while number > THIRD - 2**31 % below:
            number = self._next() >> 32
        return number % below

    def permutation(self, n: int, /) -> list[int]:
        """`Shuffle` of 0..n-1."""
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self._scaled(i + 1)
            order[i], order[j] = order[j], order[i]
        return order

    def ranks(self, n: int) -> list[int]:
        """`Perm`, which draws otherwise than `Shuffle`."""
        ranks: list[int] = []
        for i in range(n):
            j = self.integers(i + 1)
            ranks.append(i)
            ranks[i], ranks[j] = ranks[j], i
        return ranks

    def _scaled(self, below: int) -> int:
        """Lemire 2019, "Fast random integer generation in an interval"."""
        product = (self._next() >> 31) * below
        while product % 2**32 < 2**32 % below:
            product = (self._next() >> 31) * below
        return product >> 32

    def _next(self) -> int:
        state, at = self._state, self._at
        found = state[at] = (state[at] + state[(at + FAR - NEAR) % FAR]) & WORD
        self._at = (at + 1) % FAR
        return found & HALF


def _sown(seed: int, shifts: tuple[int, int, int]) -> list[int]:
    """The first 607 numbers, oldest first: three of Lehmer's each, 48271·x modulo 2^31 - 1, after twenty for nothing.

    The generator's table is filled from its first place on, and used from place 333 down and round.
    """
    number, table = seed or 89_482_311, list[int]()
    for _ in range(20):
        number = 48_271 * number % THIRD
    for _ in range(FAR):
        word = 0
        for shift in shifts:
            number = 48_271 * number % THIRD
            word ^= number << shift & WORD
        table.append(word)
    return table[FAR - NEAR - 1 :: -1] + table[: FAR - NEAR - 1 : -1]


@cache
def _far_out() -> list[int]:
    """The state after so many `STEPS` from seed 1, where each number overwrites the oldest.

    What comes n steps later is a sum of the first 607 numbers, as x^n is one of lower powers modulo
    x^607 - x^334 - 1. O(607² log n).
    """
    power = np.array([1], dtype=np.uint64)
    for bit in f"{STEPS:b}":
        power = _reduced(np.convolve(power, power))
        if bit == "1":
            power = _reduced(np.concatenate([np.zeros(1, dtype=np.uint64), power]))
    known = np.array(_sown(1, (20, 10, 0)), dtype=np.uint64)
    for n in range(FAR - 1):
        known = np.append(known, known[n] + known[n + FAR - NEAR])
    state = np.correlate(known, power, "valid")
    return np.roll(state, STEPS % FAR).tolist()


def _reduced(power: Words) -> Words:
    """The same modulo x^607 - x^334 - 1."""
    while len(power) > FAR:
        high = power[FAR:]
        low = np.zeros(max(FAR, len(high) + FAR - NEAR), dtype=np.uint64)
        low[:FAR] = power[:FAR]
        low[: len(high)] += high
        low[FAR - NEAR : FAR - NEAR + len(high)] += high
        power = low
    return power
