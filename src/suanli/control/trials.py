"""Simulations as users ask for them: read the trace, make the fleet, play, measure."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from suanli.domain.errors import UsageError
from suanli.domain.fleet import Fleet
from suanli.policies.mix import mix_of
from suanli.policies.parts import Policy
from suanli.policies.registry import parse
from suanli.sim.faults import Fault, node_failures
from suanli.sim.fragmentation import fragmentation_of
from suanli.sim.metrics import Metrics, measure
from suanli.sim.outcome import Outcome
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Trace
from suanli.traces import arrivals, context_of, fleet_of, read, trace_of

FAULTS_UNTIL_S = 365 * 86_400.0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be played. `arrivals` is the part of the fleet's accelerators that is asked for, by FGD's protocol.

    `nodes_seed` shuffles the nodes; `fails_after_s` and `back_after_s` are means for each node; `migrate` as in
    `Fleet`, instead of the fleet's own.
    """

    trace: str
    fleet: str
    policies: tuple[str, ...]
    throughputs: Path | None = None
    conditions: Conditions = Conditions()
    arrivals: float | None = None
    nodes_seed: int | None = None
    random_ties: bool = False
    fails_after_s: float | None = None
    back_after_s: float = 3600.0
    migrate: float | None = None


class Setting(msgspec.Struct, frozen=True):
    """The question with its files read. `notes` say what a reader left out or understood."""

    question: Question
    trace: Trace
    fleet: Fleet
    policies: tuple[Policy, ...]
    notes: tuple[str, ...]


class Run(msgspec.Struct, frozen=True):
    """One policy, played; `is_cut`: somebody had seen enough before its end."""

    outcome: Outcome
    metrics: Metrics
    wall_s: float
    is_cut: bool


def prepare(question: Question) -> Setting:
    """Read all files. Raises SpecErrors or UsageError, each with what is wrong where."""
    policies = tuple(parse(name) for name in question.policies)
    fleet = fleet_of(question.fleet)
    if question.migrate is not None:
        fleet = msgspec.structs.replace(fleet, migrate=question.migrate)
    table = read(question.trace, context_of(fleet, question.throughputs))
    trace = trace_of(table, fleet)
    if not trace.arrivals:
        raise UsageError(f"{question.trace} has no workloads.")
    if question.arrivals is not None:
        expected = mix_of((arrival.workload.demand, 1.0) for arrival in trace.arrivals)
        policies = tuple(msgspec.structs.replace(policy, mix=expected) for policy in policies)
        trace = arrivals(trace, fleet, question.arrivals, np.random.default_rng(question.conditions.seed))
    if question.nodes_seed is not None:
        order = np.random.default_rng(question.nodes_seed).permutation(len(fleet.nodes))
        fleet = msgspec.structs.replace(fleet, nodes=tuple(fleet.nodes[i] for i in order))
    if question.random_ties:
        policies = tuple(msgspec.structs.replace(policy, random_ties=True) for policy in policies)
    return Setting(question, trace, fleet, policies, table.notes)


def play(setting: Setting, policy: Policy, seen: Callable[[Simulation], None]) -> Run:
    """One policy to its end; `seen` is told again and again how far it is. An interrupt ends it with what there is."""
    conditions = setting.question.conditions
    run = Simulation(
        setting.trace,
        setting.fleet,
        policy,
        conditions,
        np.random.default_rng(conditions.seed),
        faults=tuple(_faults(setting)),
        cpu_s=time.thread_time,
    )
    began_s, is_cut = time.perf_counter(), False
    try:
        while run.advance():
            seen(run)
    except KeyboardInterrupt:
        is_cut = True
    wall_s = time.perf_counter() - began_s
    outcome = run.outcome()
    return Run(outcome, measure(outcome), wall_s, is_cut)


def answer(setting: Setting, run: Run) -> dict[str, object]:
    """`simulate -o json`: all metrics by name, and where arrivals are by demand, its curves."""
    told = {**msgspec.to_builtins(run.metrics), "wall_s": run.wall_s}
    if setting.question.arrivals is not None:
        policy = next(p for p in setting.policies if p.name == run.metrics.policy)
        curve = fragmentation_of(run.outcome, run.outcome.to_s, policy.mix)
        if curve is not None:
            told |= {
                "demand_pct": curve.demand_pct,
                "allocation_pct": curve.allocation_pct,
                "fragmentation_pct": curve.fragmentation_pct,
            }
    return told


def _faults(setting: Setting) -> Iterator[Fault]:
    question = setting.question
    if question.fails_after_s is None:
        return
    rng = np.random.default_rng([question.conditions.seed, 1])
    until_s = min(FAULTS_UNTIL_S, 3.0 * setting.trace.arrivals[-1].at_s + 30 * 86_400.0)
    yield from node_failures(setting.fleet, until_s, question.fails_after_s, question.back_after_s, rng)
