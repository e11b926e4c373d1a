"""`Mix`: what a fleet is asked for, as shapes and how often each comes. What a placement leaves must serve it."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from suanli.domain.resources import Demand
from suanli.policies.table import Floats

COVERAGE = 0.95
"""Part of all that was seen that the most frequent shapes stand for (Weng et al. 2023)."""

TYPICAL_MAX = 128
"""Shapes at most: each is looked at whenever a node is rated."""


class Typical(msgspec.Struct, frozen=True):
    """One shape: cores, `count` devices with `share` of each (1 for whole ones) of any of `models`, and its weight.

    No models: it uses no device, or (`count` > 0) any will do.
    """

    weight: float
    cpus: float
    count: int
    share: float
    models: tuple[str, ...]


class Mix(msgspec.Struct, frozen=True):
    """Typical shapes, the most frequent first. Weights add up to 1."""

    typical: tuple[Typical, ...]

    def rows(self, models: Sequence[str]) -> Floats:
        """float[T, 4+M]: weight, cores, number of devices, share of each, then 1 for each model that will do."""
        rows = np.zeros((len(self.typical), 4 + len(models)))
        for row, shape in zip(rows, self.typical, strict=True):
            row[:4] = shape.weight, shape.cpus, shape.count, shape.share
            row[4:] = [not shape.models or model in shape.models for model in models]
        return rows

    def by_model(self, models: Sequence[str]) -> Floats:
        """float[M, T+1, 5]: for each model the shapes that its devices will do for, by cores: weight, cores, number of
        devices, share of each, and the weight of all that runs on none with fewer cores; the last row is endless.
        """
        rows = self.rows(models)
        found = np.zeros((len(models), len(rows) + 1, 5))
        for m in range(len(models)):
            served = rows[(rows[:, 2] > 0) & (rows[:, 4 + m] > 0)]
            served = served[np.argsort(served[:, 1], kind="stable")]
            of_these = found[m, : len(served) + 1]
            of_these[:-1, :4] = served[:, :4]
            of_these[-1, :2] = 0.0, np.inf
            of_these[:, 4] = rows[:, 0].sum() - np.concatenate([[0.0], np.cumsum(served[:, 0])])
        return found


def mix_of(seen: Iterable[tuple[Demand, float]], coverage: float = COVERAGE) -> Mix:
    """The most frequent shapes until they stand for `coverage` of what was seen, weights renormalised. O(shapes).

    Of a demand's alternatives the size of the first counts, with all models that are asked for at that size.
    """
    weights: dict[tuple[float, float, tuple[str, ...]], float] = {}
    for demand, times in seen:
        size = demand.accelerators[0].count if demand.accelerators else 0.0
        models = tuple(sorted(a.model for a in demand.accelerators if a.count == size))
        key = (demand.cpus, size, models)
        weights[key] = weights.get(key, 0.0) + times
    total, covered = sum(weights.values()), 0.0
    frequent: list[tuple[tuple[float, float, tuple[str, ...]], float]] = []
    for key, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0])):
        if covered >= coverage * total or len(frequent) == TYPICAL_MAX:
            break
        frequent.append((key, weight))
        covered += weight
    return Mix(
        tuple(
            Typical(weight / covered, cpus, max(int(size), int(size > 0)), min(size, 1.0), models)
            for (cpus, size, models), weight in frequent
        )
    )
