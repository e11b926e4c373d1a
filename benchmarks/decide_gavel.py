"""Sharing unlike accelerators over time: Gavel's two traces through the simulator, beside what Gavel's own one gives.

8 V100, 16 P100 and 24 K80, one to a server, the authors' table of throughputs; 96 jobs that keep arriving
(`max_min_fairness`), and 100 that are all there at once (`minimize_makespan`). Published are mean completion time and
makespan of Gavel's simulator (stanford-futuredata/gavel @c4fa400, 360 s rounds, ECOS, seed 0, restarts for nothing).

`told` is what the policy knows beside speeds: `nothing` of durations, or `work left`, exactly. The two are never to be
compared. Where lots are drawn, figures beside published ones are means over `seeds`. Everything is played twice:
restarts cost nothing, or 30 s.

Bounds hold for every policy. Makespan: a linear program, from each arrival on. Mean completion time: prices make all
devices one machine, on which a job is as long as its cheapest way to get its work done costs. There preemptive shortest
job first has the least mean busy times (Goemans 1997), and nobody ends earlier than half of its time alone on its
fastest type after its own. The prices are those of a grid that bound best.

Not to be had: `gandiva` packs jobs onto one device. What is `-as-shipped` is not ours, and not what Gavel defines, but
what its published figures are of (`gavel_shipped`): `fifo` by a slip in the code, on the second trace all jobs at once
on 8 V100, and in whole steps (`gavel_steps`), as its makespan hangs on single ones; `makespan` and `ftf-agnostic` by
where its solver stops. `fifo` here is first in, first out, and never interrupts.

Last come traces that are made, on other fleets: what was chosen on the two above holds elsewhere or does not.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import gavel_shipped
import gavel_steps
import msgspec
import numpy as np

from suanli.control.trials import Question, Setting, play, prepare
from suanli.policies.parts import InRounds, Policy
from suanli.policies.registry import parse
from suanli.policies.sharing.levels import raise_linear
from suanli.policies.sharing.prices import Market
from suanli.policies.sharing.values import Allocation
from suanli.policies.table import Bools, Floats
from suanli.sim.metrics import measure as metrics_of
from suanli.sim.simulation import Conditions, Simulation
from suanli.traces import fleet_of, trace_of
from suanli.traces.generate import GENERATORS
from suanli.traces.mix import Mix

FLEET = "gavel:8xV100,16xP100,24xK80"
TRACES = ("max_min_fairness", "minimize_makespan")
RESTARTS_S = (0.0, 30.0)
SEEDS = (0, 1, 2)
HOUR_S = 3600.0

ELSEWHERE = (
    ("poisson", "gavel:16xH100,16xA100-80GB,32xT4", 0.9),
    ("diurnal", "gavel:32xV100,32xT4", 0.9),
    ("bursts", "gavel:8xH100,24xL4,32xT4", 0.8),
    ("bursts", "gavel:48xA100-80GB", 0.9),
)
AS_SHIPPED = "-as-shipped"
SHIPPED: dict[str, Allocation] = {
    "ftf-agnostic": gavel_shipped.finish_time_fairness,
    "makespan": gavel_shipped.makespan,
}
"""What divides in place of the policy of that name."""

SIDE_BY_SIDE = ("fifo", "max-min-water-filling", "least-served", "ftf", "shortest-remaining")

Row = dict[str, str | int | float]


class Rule(msgspec.Struct, frozen=True):
    """A policy of ours; Gavel's name for it, with what it published: mean completion time and makespan, each trace."""

    name: str
    told_work: bool = False
    gavel: str = ""
    published_h: tuple[tuple[float, float], tuple[float, float]] | None = None


RULES = (
    Rule("fifo"),
    Rule("fifo-as-shipped", gavel="fifo", published_h=((9.97, 54.6), (58.8, 76.2))),
    Rule("first-come", gavel="fifo_perf", published_h=((5.42, 20.1), (11.18, 25.2))),
    Rule("max-min-agnostic", gavel="max_min_fairness", published_h=((5.55, 21.4), (10.49, 23.0))),
    Rule("max-min", gavel="max_min_fairness_perf", published_h=((4.06, 17.8), (9.91, 19.0))),
    Rule(
        "max-min-water-filling",
        gavel="max_min_fairness_water_filling_perf",
        published_h=((4.05, 17.8), (9.90, 19.1)),
    ),
    Rule("max-throughput", gavel="max_sum_throughput_perf", published_h=((4.74, 17.8), (10.26, 22.5))),
    Rule("least-served"),
    Rule("ftf-agnostic", True, "finish_time_fairness", ((5.44, 21.0), (10.86, 21.9))),
    Rule("ftf-agnostic-as-shipped", True, "finish_time_fairness", ((5.44, 21.0), (10.86, 21.9))),
    Rule("ftf", True, "finish_time_fairness_perf", ((4.17, 18.0), (10.09, 19.6))),
    Rule("makespan-agnostic", True, "min_total_duration", ((5.86, 20.9), (19.99, 21.3))),
    Rule("makespan", True, "min_total_duration_perf", ((6.38, 17.09), (17.72, 17.98))),
    Rule("makespan-as-shipped", True, "min_total_duration_perf", ((6.38, 17.09), (17.72, 17.98))),
    Rule("shortest-remaining", True),
    Rule("soonest-end", True),
)


def measure(data: Path) -> Iterator[Row]:
    """One row for each policy, trace and cost of a restart; the bounds of each trace first."""
    for t, trace in enumerate(TRACES):
        jct_h, makespan_h = _bounds(_setting(data, trace, "fifo", Conditions()))
        yield {"told": "everything", "policy": "no policy can", "trace": trace, "restart_s": 0} | _shown(
            jct_h, makespan_h
        )
        for restart_s in RESTARTS_S:
            for rule in RULES if not restart_s else [rule for rule in RULES if AS_SHIPPED not in rule.name]:
                yield _row(data, t, rule, restart_s, (jct_h, makespan_h))
    for kind, fleet, load in ELSEWHERE:
        for rule in RULES:
            if rule.name in SIDE_BY_SIDE:
                yield _elsewhere(kind, fleet, load, rule)


def _elsewhere(kind: str, text: str, load: float, rule: Rule) -> Row:
    """300 jobs with whole devices, durations log-normal as Philly's, that ask for `load` of the fleet in all."""
    fleet, rng = fleet_of(text), np.random.default_rng(len(text))
    table = GENERATORS[kind](fleet, 300, load, rng, Mix(cpu_only=0.0, shared=0.0))
    conditions = Conditions(oracle=rule.told_work, restart_s=RESTARTS_S[-1])
    trace = trace_of(table, fleet)
    metrics = metrics_of(
        Simulation(trace, fleet, parse(rule.name), conditions, np.random.default_rng(0)).run()
    )
    assert metrics.jct_mean_s is not None
    return {
        "told": "work left" if rule.told_work else "nothing",
        "policy": rule.name,
        "trace": f"{kind} on {text.partition(':')[2]}",
        "restart_s": int(RESTARTS_S[-1]),
        **_shown(metrics.jct_mean_s / HOUR_S, metrics.makespan_s / HOUR_S),
        "preemptions": metrics.preemptions,
    }


def _row(data: Path, t: int, rule: Rule, restart_s: float, bounds_h: tuple[float, float]) -> Row:
    seeds = SEEDS if "-agnostic" in rule.name and not restart_s else SEEDS[:1]
    runs = [_played(data, TRACES[t], rule, restart_s, seed) for seed in seeds]
    jct_h, makespan_h = fmean(jct for jct, _, _ in runs), fmean(span for _, span, _ in runs)
    row: Row = {
        "told": "work left" if rule.told_work else "nothing",
        "policy": rule.name,
        "trace": TRACES[t],
        "restart_s": int(restart_s),
        **_shown(jct_h, makespan_h),
        "jct_over_bound_pct": round(100 * (jct_h / bounds_h[0] - 1), 1),
        "makespan_over_bound_pct": round(100 * (makespan_h / bounds_h[1] - 1), 1),
        "preemptions": round(fmean(preemptions for _, _, preemptions in runs)),
        "seeds": len(seeds),
    }
    if rule.published_h is None or restart_s:
        return row
    jct_published_h, makespan_published_h = rule.published_h[t]
    return row | {
        "gavel": rule.gavel,
        "jct_published_h": jct_published_h,
        "jct_off_pct": round(100 * (jct_h / jct_published_h - 1), 1),
        "makespan_published_h": makespan_published_h,
        "makespan_off_pct": round(100 * (makespan_h / makespan_published_h - 1), 1),
    }


def _played(data: Path, trace: str, rule: Rule, restart_s: float, seed: int) -> tuple[float, float, int]:
    conditions = Conditions(oracle=rule.told_work, restart_s=restart_s, seed=seed)
    name = rule.name.removesuffix(AS_SHIPPED)
    setting = _setting(data, trace, name, conditions)
    if rule.name == "fifo-as-shipped":
        return *_in_steps(setting), 0
    policy = setting.policies[0]
    metrics = play(
        setting, _shipped(policy, SHIPPED[name]) if name != rule.name else policy, lambda _: None
    ).metrics
    assert metrics.jct_mean_s is not None
    return metrics.jct_mean_s / HOUR_S, metrics.makespan_s / HOUR_S, metrics.preemptions


def _in_steps(setting: Setting) -> tuple[float, float]:
    ended_s = gavel_steps.ends_s(setting, gavel_shipped.fifo())
    came_s = np.array([arrival.at_s for arrival in setting.trace.arrivals])
    return float((ended_s - came_s).mean()) / HOUR_S, float(ended_s.max() - came_s.min()) / HOUR_S


def _shipped(policy: Policy, allocation: Allocation) -> Policy:
    assert isinstance(policy.share, InRounds)
    return msgspec.structs.replace(policy, share=msgspec.structs.replace(policy.share, allocation=allocation))


def _setting(data: Path, trace: str, policy: str, conditions: Conditions) -> Setting:
    folder = data / "gavel"
    return prepare(
        Question(
            trace=f"gavel:{folder / trace}.trace",
            fleet=FLEET,
            policies=(policy,),
            throughputs=folder / "simulation_throughputs.json",
            conditions=conditions,
        )
    )


def _shown(jct_h: float, makespan_h: float) -> Row:
    return {"jct_h": round(jct_h, 3), "makespan_h": round(makespan_h, 3)}


def _bounds(setting: Setting) -> tuple[float, float]:
    """Hours that no policy's mean completion time and makespan can be below."""
    models = sorted({model for node in setting.fleet.nodes for model in node.accelerators})
    capacity = np.array([float(sum(n.accelerators.count(m) for n in setting.fleet.nodes)) for m in models])
    arrivals = setting.trace.arrivals
    came_s = np.array([arrival.at_s for arrival in arrivals])
    left = np.array([arrival.work for arrival in arrivals])
    devices = np.array([float(arrival.workload.nodes) for arrival in arrivals])
    speed = np.array([[a.workload.speeds.get(model, 0.0) for model in models] for a in arrivals])
    # parts of a job's work in a second
    rate = np.where(devices[:, None] <= capacity, speed, 0.0) / left[:, None]
    ends_s = [at_s + _makespan_s(rate, devices, capacity, came_s >= at_s) for at_s in np.unique(came_s)]
    jct_s = max(_jct_s(came_s, rate, devices, price / capacity) for price in _prices(len(models)))
    return jct_s / HOUR_S, (max(ends_s) - came_s.min()) / HOUR_S


def _makespan_s(rate: Floats, devices: Floats, capacity: Floats, of: Bools) -> float:
    market = Market(np.ascontiguousarray(rate[of]), devices[of], capacity)
    n = len(market.devices)
    raised = raise_linear(market, np.zeros(n), np.ones(n), np.zeros(market.speed.shape))
    return 1.0 / raised.bound


def _prices(types: int, parts: int = 40) -> Iterator[Floats]:
    """All ways to divide the worth of the whole fleet among the types, in fortieths."""
    for cut in np.ndindex(*[parts + 1] * (types - 1)):
        if sum(cut) <= parts:
            yield np.array([*cut, parts - sum(cut)]) / parts


def _jct_s(came_s: Floats, rate: Floats, devices: Floats, price: Floats) -> float:
    """The mean over jobs of mean busy time on the one machine, plus half of the time alone, less the arrival."""
    with np.errstate(divide="ignore"):
        alone_s = 1.0 / rate
    costs = np.where(rate > 0, devices[:, None] * price * np.where(rate > 0, alone_s, 0.0), np.inf)
    busy_s = _mean_busy_s(came_s, costs.min(axis=1))
    return float((busy_s + alone_s.min(axis=1) / 2 - came_s).mean())


def _mean_busy_s(came_s: Floats, length_s: Floats) -> Floats:
    """float[n]: the mean instants at which one machine works on each job, shortest first, interrupted by shorter ones.

    Where jobs are taken in rising order each only fills what those before it have left free.
    """
    busy_s = np.zeros(len(came_s))
    taken: list[tuple[float, float]] = []
    for i in np.lexsort((came_s, length_s)):
        left_s, at_s, moment = float(length_s[i]), float(came_s[i]), 0.0
        mine: list[tuple[float, float]] = []
        for begins_s, ends_s in [*taken, (np.inf, np.inf)]:
            if ends_s <= at_s:
                continue
            until_s = min(begins_s, at_s + left_s)
            if until_s > at_s:
                mine.append((at_s, until_s))
                moment += (until_s - at_s) * (until_s + at_s) / 2
                left_s -= until_s - at_s
            if left_s <= 1e-9:
                break
            at_s = max(at_s, ends_s)
        busy_s[i] = moment / length_s[i] if length_s[i] > 0 else came_s[i]
        taken = _joined([*taken, *mine])
    return busy_s


def _joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for begins_s, ends_s in sorted(spans):
        if joined and begins_s <= joined[-1][1] + 1e-9:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ends_s))
        else:
            joined.append((begins_s, ends_s))
    return joined
