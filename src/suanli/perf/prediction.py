"""How long a workload may yet run: draws from what is known of it, its likes, and of all that has finished."""

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Record, Status
from suanli.perf.durations import Likeness, declared_s, likeness, mean_speed, saved_s

Floats = NDArray[np.float64]

LIKES_MIN = 8
"""From so many finished likes on their own times are drawn from, whatever is declared."""

UNKNOWN_SIGMA = 1.0
"""Spread of the logarithm where too little has finished: a factor of 2.7 either way."""

UNKNOWN_S = 3600.0
"""The middle of what may be where nothing at all is known."""


class Spread:
    """Times of the finished by likeness, and what became of declarations: true through declared duration.

    A draw for a workload is a time of its likes where there are enough; else its declaration times a drawn ratio; else
    a time of anything. What still runs counts as well, as longer than it has run so far (Kaplan and Meier 1958): else
    one would only know of the quick. Draws are smoothed by a log-normal kernel of Silverman's width (1986, 3.31), so
    that few samples do not pretend to know more than they do. Of what has run for a while only longer times are drawn;
    where none is longer, what is left is as long as what was (Lindy). All draws of one future should come from one
    `redrawn`: else errors that they have in common would cancel out in a sum of many.
    """

    def __init__(self, records: Iterable[Record], now_s: float) -> None:
        by_like: dict[Likeness, list[Seen]] = {}
        everything: list[Seen] = []
        ratios: list[Seen] = []
        for record in records:
            useful_s, is_whole = _useful_s(record, now_s), record.status is Status.SUCCEEDED
            if useful_s <= 0 or not (is_whole or record.status.is_live):
                continue
            declared = declared_s(record.workload)
            by_like.setdefault(likeness(record), []).append((useful_s, is_whole))
            everything.append((useful_s, is_whole))
            if declared:
                ratios.append((useful_s / declared, is_whole))
        self._likes = {
            like: sample for like, seen in by_like.items() if (sample := _sample(seen)) is not None
        }
        self._ratios = _sample(ratios) or _PRIOR
        self._all = _sample(everything) or _PRIOR.times(UNKNOWN_S)
        self.known = sum(is_whole for _, is_whole in everything)

    def draw_left(self, record: Record, now_s: float, rng: np.random.Generator) -> float:
        """Work left after `now_s`, in the workload's own units. O(samples)."""
        elapsed_s = _useful_s(record, now_s)
        total_s = self._of(record).draw(elapsed_s, rng)
        return (total_s - elapsed_s) * mean_speed(record.workload)

    def redrawn(self, rng: np.random.Generator) -> "Spread":
        """One of the spreads that what was seen may have come from (Bayesian bootstrap, Rubin 1981). O(samples)."""
        twin = object.__new__(Spread)
        twin._likes = {like: sample.redrawn(rng) for like, sample in self._likes.items()}
        twin._ratios, twin._all = self._ratios.redrawn(rng), self._all.redrawn(rng)
        twin.known = self.known
        return twin

    def _of(self, record: Record) -> "Sample":
        of_likes = self._likes.get(likeness(record))
        if of_likes is not None:
            return of_likes
        declared = declared_s(record.workload)
        return self._ratios.times(declared) if declared else self._all


Seen = tuple[float, bool]
"""A time (or a ratio), and whether it is whole: else it was longer than that."""


class Sample(msgspec.Struct, frozen=True):
    """Logarithms, ascending; the running sum of their weights; the width of the kernel."""

    logs: Floats
    up_to: Floats
    width: float

    def times(self, factor: float) -> "Sample":
        return Sample(self.logs + np.log(factor), self.up_to, self.width)

    def redrawn(self, rng: np.random.Generator) -> "Sample":
        """The weights by chance more or less."""
        weights: Floats = self.up_to - np.concatenate([[0.0], self.up_to[:-1]])
        up_to: Floats = (weights * rng.exponential(size=len(weights))).cumsum()
        return Sample(self.logs, up_to, self.width)

    def draw(self, above: float, rng: np.random.Generator) -> float:
        """A value above that one."""
        first = int(np.searchsorted(self.logs, math.log(above))) if above > 0 else 0
        if first == len(self.logs):
            return above * (1.0 + float(rng.exponential()))
        before = float(self.up_to[first - 1]) if first else 0.0
        at = before + float(rng.random()) * (float(self.up_to[-1]) - before)
        log = self.logs[min(int(np.searchsorted(self.up_to, at, side="right")), len(self.logs) - 1)]
        value = float(np.exp(log + self.width * rng.standard_normal()))
        return value if value > above else above + abs(above - value)


def _sample(seen: Sequence[Seen]) -> Sample | None:
    """None of fewer than LIKES_MIN whole ones. A weight that is left over after the last whole one stays with it."""
    if sum(is_whole for _, is_whole in seen) < LIKES_MIN:
        return None
    logs: list[float] = []
    weights: list[float] = []
    surviving = 1.0
    ordered = sorted(seen, key=lambda one: (one[0], not one[1]))
    for i, (value, is_whole) in enumerate(ordered):
        if is_whole:
            dies = surviving / (len(ordered) - i)
            logs.append(float(np.log(value)))
            weights.append(dies)
            surviving -= dies
    weights[-1] += surviving
    quartiles = np.quantile(logs, [0.25, 0.75])
    spread = min(float(np.std(logs)), float(quartiles[1] - quartiles[0]) / 1.34)
    return Sample(np.array(logs), np.cumsum(weights), 0.9 * spread * len(logs) ** -0.2)


def _useful_s(record: Record, now_s: float) -> float:
    if record.attempt is None:
        return saved_s(record)
    return record.done_by(now_s) / mean_speed(record.workload)


_PRIOR = Sample(
    UNKNOWN_SIGMA * np.array([-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645]),
    np.linspace(0.1, 1.0, 10),
    0.0,
)
"""The standard normal's quantiles at 5 %, 15 % … 95 %."""
