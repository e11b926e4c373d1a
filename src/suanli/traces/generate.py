"""Traces that are made: mixed work for a fleet, arriving independently, by day and night, or in bursts.

The generator of random numbers is the caller's, so a seed makes the same trace everywhere.
"""

import math
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.fleet import Fleet
from suanli.traces.mix import DAY_S, Job, Mix, draw, named
from suanli.traces.table import Row, Table, table_of

_NIGHT = 0.6
"""By night the rate is the mean less this share, by day that much more; Philly's hours span 0.64 to 2.1 means."""
_BURST = 8.0
"""Jobs of a burst, on average; most tasks of Alibaba's PAI recur in groups (Weng et al., NSDI'22)."""
_BURST_GAP_S = 1.0


def poisson(fleet: Fleet, jobs: int, load: float, rng: np.random.Generator, mix: Mix | None = None) -> Table:
    """`jobs` that ask for the share `load` of the fleet's accelerators, each arriving independently of all others."""
    return _timed("poisson", draw(fleet, jobs, mix or Mix(), rng), fleet, load, _even, rng)


def diurnal(fleet: Fleet, jobs: int, load: float, rng: np.random.Generator, mix: Mix | None = None) -> Table:
    """The same with four times as many by day as by night; the trace begins at midnight."""
    return _timed("diurnal", draw(fleet, jobs, mix or Mix(), rng), fleet, load, _by_day, rng)


def bursts(fleet: Fleet, jobs: int, load: float, rng: np.random.Generator, mix: Mix | None = None) -> Table:
    """The same in bursts, as sweeps over hyperparameters come: on average eight of one team, program and size."""
    lengths = _burst_lengths(jobs, rng)
    drawn = [
        like
        for first, length in zip(draw(fleet, len(lengths), mix or Mix(), rng), lengths, strict=True)
        for like in _likes(first, length, rng)
    ]
    numbered = [msgspec.structs.replace(job, row=named(job.row, index)) for index, job in enumerate(drawn)]

    def starts(_: int, span_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
        first_s = _even(len(lengths), span_s, rng)
        within_s = np.concatenate([np.arange(length) * _BURST_GAP_S for length in lengths])
        return np.repeat(first_s, lengths) + within_s

    return _timed("bursts", numbered, fleet, load, starts, rng)


GENERATORS: dict[str, Callable[..., Table]] = {"poisson": poisson, "diurnal": diurnal, "bursts": bursts}

_Times = Callable[[int, float, np.random.Generator], NDArray[np.float64]]


def _timed(
    name: str, drawn: list[Job], fleet: Fleet, load: float, times: _Times, rng: np.random.Generator
) -> Table:
    """The jobs spread over as long as makes the accelerator time that they ask for `load` of what there is."""
    capacity = sum(len(node.accelerators) for node in fleet.nodes)
    asked_s = sum(job.devices * job.duration_s for job in drawn)
    at_s = times(len(drawn), asked_s / (load * capacity), rng)
    rows = [_at(job, round(float(instant), 3)) for job, instant in zip(drawn, at_s, strict=True)]
    return table_of(name, rows)


def _at(job: Job, at_s: float) -> Row:
    deadline_s = None
    if job.deadline_factor is not None:
        deadline_s = round(at_s + job.deadline_factor * job.duration_s, 3)
    return msgspec.structs.replace(job.row, at_s=at_s, deadline_s=deadline_s)


def _even(count: int, span_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.cumsum(rng.exponential(span_s / count, count))


def _by_day(count: int, span_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Even arrivals through the inverse of the integral of the rate 1 - 0.6 cos(2 pi t / day)."""
    even_s = _even(count, span_s, rng)
    grid_s = np.arange(0.0, even_s[-1] + DAY_S, 300.0)
    turn = 2 * math.pi / DAY_S
    return np.interp(even_s, grid_s - _NIGHT * np.sin(turn * grid_s) / turn, grid_s)


def _burst_lengths(jobs: int, rng: np.random.Generator) -> list[int]:
    lengths: list[int] = []
    while (left := jobs - sum(lengths)) > 0:
        lengths.append(min(left, int(rng.geometric(1 / _BURST))))
    return lengths


def _likes(first: Job, length: int, rng: np.random.Generator) -> list[Job]:
    """The first and more like it, whose durations differ by a third or so."""
    factors = [1.0, *np.exp(rng.normal(0.0, 0.3, length - 1)).tolist()]
    return [
        msgspec.structs.replace(
            first,
            duration_s=round(first.duration_s * factor, 3),
            row=msgspec.structs.replace(first.row, work=round(first.row.work * factor, 3)),
        )
        for factor in factors
    ]
