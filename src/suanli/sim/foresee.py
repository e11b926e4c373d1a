"""When will it start? The simulation, run forward from the live state, again and again with the unknown drawn anew."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from suanli.domain.decision import Memory
from suanli.domain.record import Record
from suanli.domain.workload import Kind
from suanli.kernel.changes import Change
from suanli.kernel.state import State, unended
from suanli.perf.durations import mean_speed
from suanli.perf.prediction import Spread
from suanli.policies.parts import Policy
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import NOBODY, Arrival, Trace

DRAWS = (39, 19, 9)
"""Futures that are played: as many as can be within EVENTS_MAX. Of each the band is exact, of 9 it is all of them."""

EVENTS_MAX = 30_000
"""Events, and steps, that are played in all: what has not started by then in a future starts later."""

GRID_ABOVE = 200
"""From so many workloads on that run or wait, a future is played on a grid of GRID of the mean time that they take:
each starts by half of that late."""

GRID = 0.04

EVENTS_EACH = 4
"""A workload is submitted, placed, started, and ends."""

ARRIVALS_SINCE_S = 86_400.0
"""What arrived in the last day stands for what will."""

ARRIVALS_MIN = 5
"""From so many arrivals on they are a rate; fewer are none."""

LIVE = Conditions(start_s=2.0, restart_s=2.0, stop_s=2.0)
"""What coming up and leaving take, roughly, on a living fleet."""


class Foresight(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from now: the median and the 80 % band of when it starts; None: later than `beyond_s`, if ever.

    `futures` were played, in `started` of them it started. `known` is how many finished workloads the spread of
    durations was learned from.
    """

    start_s: float | None
    earliest_s: float | None
    latest_s: float | None
    beyond_s: float
    futures: int
    started: int
    known: int


def foresee(
    state: State,
    memory: Memory,
    policy: Policy,
    key: str,
    now_s: float,
    rng: np.random.Generator,
    *,
    conditions: Conditions = Conditions(),  # noqa: B008 - frozen
    events_max: int = EVENTS_MAX,
) -> Foresight:
    """When the waiting workload `key` starts, if things go on as they did.

    In each future every duration is drawn from what is known of it (`perf.prediction`), and arrivals are drawn from
    those of the last day, at their rate; what is known of both is itself uncertain, and drawn for each future.
    O(`events_max`), whatever waits, and a copy of the state for each future.
    """
    spread = Spread(state.records.values(), now_s)
    draws, conditions = _extent(state, conditions, spread, now_s, rng, events_max)
    played = [
        _play(state, memory, policy, key, now_s, rng, conditions, spread, events_max // draws)
        for _ in range(draws)
    ]
    starts = sorted(start_s for start_s, _ in played)
    tenth = (draws + 1) // 10
    return Foresight(
        start_s=_finite(starts[draws // 2]),
        earliest_s=_finite(starts[tenth - 1]),
        latest_s=_finite(starts[draws - tenth]),
        beyond_s=min((span_s for start_s, span_s in played if math.isinf(start_s)), default=0.0),
        futures=draws,
        started=sum(math.isfinite(start_s) for start_s in starts),
        known=spread.known,
    )


def _extent(
    state: State,
    conditions: Conditions,
    spread: Spread,
    now_s: float,
    rng: np.random.Generator,
    events_max: int,
) -> tuple[int, Conditions]:
    """How many futures can be played, and how finely."""
    workloads = len(state.live) + len(state.waiting)
    draws = next((n for n in DRAWS if n * workloads * EVENTS_EACH <= events_max), DRAWS[-1])
    if workloads <= GRID_ABOVE:
        return draws, conditions
    left = _left(state, now_s, spread, rng)
    rest = [left[r.key] / mean_speed(r.workload) for r in (*state.live.values(), *state.waiting.values())]
    return draws, on_grid(conditions, rest)


def on_grid(conditions: Conditions, rest_s: Sequence[float]) -> Conditions:
    """For as many workloads as run or wait, which take so long each: on a grid where they are many."""
    finite = [left_s for left_s in rest_s if math.isfinite(left_s)]
    if len(rest_s) <= GRID_ABOVE or not finite:
        return conditions
    return msgspec.structs.replace(conditions, grid_s=GRID * float(np.mean(finite)))


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def runs_if(
    state: State,
    memory: Memory,
    policy: Policy,
    key: str,
    change: Change,
    now_s: float,
    rng: np.random.Generator,
) -> bool:
    """Whether the change lets `key` start at once, or as soon as what is stopped for it has ended. Plays one future."""
    changed = state.copy()
    if change.fleet is not None:
        changed.set_nodes(change.fleet, state.unusable)
    changed.apply([change.record])
    spread = Spread(state.records.values(), now_s)
    left = _left(changed, now_s, spread, rng)
    kept = {k: r for k, r in memory.reservations.items() if k != key}
    memory = msgspec.structs.replace(memory, reservations=kept)
    run = Simulation.going_on(changed, memory, left, NOBODY, policy, Conditions(), rng, now_s)
    run.advance()
    return run.state.records[key].attempts_made > state.records[key].attempts_made


def _play(
    state: State,
    memory: Memory,
    policy: Policy,
    key: str,
    now_s: float,
    rng: np.random.Generator,
    conditions: Conditions,
    spread: Spread,
    events_max: int,
) -> tuple[float, float]:
    """Seconds from now until it is placed, inf where that is not within so many events; and the seconds that were
    played."""
    spread = spread.redrawn(rng)
    left = _left(state, now_s, spread, rng)
    trace = Trace(name="", arrivals=_arrivals(state, now_s, spread, rng, events_max // EVENTS_EACH))
    run = Simulation.going_on(state, memory, left, trace, policy, conditions, rng, now_s)
    number, first = state.records[key].attempts_made, run.happened
    while max(run.happened - first, run.steps) < events_max and run.advance():
        if run.state.records[key].attempts_made > number:
            return run.now_s - now_s, run.now_s - now_s
    return math.inf, run.now_s - now_s


def _left(state: State, now_s: float, spread: Spread, rng: np.random.Generator) -> dict[str, float]:
    """A draw of the work that is left, for all that runs or waits. A service never ends."""
    return {
        record.key: math.inf if record.workload.kind is Kind.SERVE else spread.draw_left(record, now_s, rng)
        for record in unended(state)
    }


def _arrivals(
    state: State, now_s: float, spread: Spread, rng: np.random.Generator, count: int
) -> tuple[Arrival, ...]:
    """Workloads like those of the last day, so many, at their rate. None where there were hardly any.

    The rate is drawn too, from what it may have been if so many came by it (a gamma under Jeffreys' prior). Enough for
    all events that are played: else it would be as if nobody came any more.
    """
    recent = [
        r for r in state.records.values() if r.submitted_s > now_s - ARRIVALS_SINCE_S and r.replica is None
    ]
    if len(recent) < ARRIVALS_MIN:
        return ()
    since_s = now_s - min(record.submitted_s for record in recent)
    gap_s = since_s / rng.gamma(len(recent) + 0.5)
    instants = now_s + np.cumsum(rng.exponential(gap_s, count))
    likes = rng.integers(len(recent), size=count)
    return tuple(
        _like(recent[int(i)], f"~{n}", float(at_s), spread, rng)
        for n, (i, at_s) in enumerate(zip(likes, instants, strict=True))
    )


def _like(record: Record, name: str, at_s: float, spread: Spread, rng: np.random.Generator) -> Arrival:
    workload = msgspec.structs.replace(record.workload, name=name, after=(), model_from="", not_before_s=None)
    fresh = msgspec.structs.replace(
        record, key=name, workload=workload, attempt=None, run_s=0.0, lost_s=0.0, done=0.0
    )
    endless = workload.kind is Kind.SERVE
    return Arrival(
        at_s=at_s, workload=workload, work=math.inf if endless else spread.draw_left(fresh, at_s, rng)
    )
