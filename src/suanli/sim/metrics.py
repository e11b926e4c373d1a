"""What a simulation comes to in numbers: speed, fairness, use of the fleet, cost, energy, satisfaction."""

import math
from collections import Counter

import msgspec
import numpy as np

from suanli.domain.workload import EndCause
from suanli.sim.fairness import finish_time_ratios
from suanli.sim.fragmentation import Fragmentation, fragmentation_of
from suanli.sim.jobs import Floats, Jobs, jobs_of
from suanli.sim.outcome import Outcome
from suanli.sim.predictions import Predictions, predictions_of
from suanli.sim.usage import HOUR_S, Usage, lost_device_s, usage_of

SLOWDOWN_BOUND_S = 10.0
"""Jobs shorter than this count as this long, lest the shortest make the mean (Feitelson and Rudolph, JSSPP'98)."""
SATISFIED_SLOWDOWN = 2.0
"""Apdex's target: to wait no longer than one runs; up to four times that is tolerated (apdex.org, version 1.1)."""
_TOLERATED = 4.0


class SizeGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that ask for so many accelerators; times are of those that succeeded, None without any."""

    size: str
    jobs: int
    jobs_done: int
    jct_mean_s: float | None
    wait_mean_s: float | None
    slowdown_mean: float | None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation. Completion time (JCT) and waiting are of jobs that succeeded; None where nothing is to be told.

    `makespan_s` is from the first arrival to the last end. `wait` is all time without nodes, also between attempts.
    `utilisation` counts from the beginning of work and `allocation` from placement, of all accelerators over the
    makespan (of cores in a fleet without accelerators); `fragmentation` is the mean share of all accelerators that is
    idle and of no use to the trace's typical workloads. A job is unfair where its finish-time ratio is above 1 (see
    `fairness`). `slowdown` is completion time over the time alone on the fastest accelerator that would do. A deadline
    is met by succeeding in time. `lost_device_h` were run again after preemptions and failures.
    """

    policy: str
    trace: str
    seed: int
    oracle: bool
    is_whole: bool
    jobs: int
    jobs_done: int
    jct_mean_s: float | None
    jct_p50_s: float | None
    jct_p99_s: float | None
    makespan_s: float
    wait_mean_s: float | None
    wait_p99_s: float | None
    utilisation: float
    allocation: float
    fragmentation: float | None
    ftf_worst: float | None
    ftf_unfair_share: float | None
    slowdown_mean: float | None
    slowdown_p99: float | None
    apdex: float | None
    deadlines: int
    deadlines_met: int
    preemptions: int
    restarts: int
    lost_device_h: float
    cost: float
    energy_kwh: float
    usage: Usage
    curves: Fragmentation | None
    predictions: Predictions | None
    by_size: tuple[SizeGroup, ...]
    steps: int
    policy_cpu_s: float
    decisions_hash: str


def measure(outcome: Outcome) -> Metrics:
    """O(records · kinds + levels), and for each placement what `fragmentation_of` takes."""
    jobs = jobs_of(outcome)
    done = jobs.is_done
    ends_s = [stay.ended_s for stay in outcome.stays]
    until_s = max(ends_s, default=outcome.from_s) if outcome.is_whole else outcome.to_s
    usage = usage_of(outcome, until_s)
    fragmentation = fragmentation_of(outcome, until_s)
    ratios = finish_time_ratios(jobs, outcome.levels)[done]
    ratios = ratios[np.isfinite(ratios)]
    slow = slowdowns(jobs)
    causes = Counter(stay.cause for stay in outcome.stays)
    dated = np.isfinite(jobs.deadline_s)
    chief = "accelerators" if "accelerators" in usage.allocated else "cpus"
    return Metrics(
        policy=outcome.policy,
        trace=outcome.trace,
        seed=outcome.seed,
        oracle=outcome.oracle,
        is_whole=outcome.is_whole,
        jobs=len(outcome.records),
        jobs_done=int(done.sum()),
        jct_mean_s=_mean(jobs.jct_s[done]),
        jct_p50_s=_percentile(jobs.jct_s[done], 50),
        jct_p99_s=_percentile(jobs.jct_s[done], 99),
        makespan_s=usage.span_s,
        wait_mean_s=_mean(jobs.wait_s[done]),
        wait_p99_s=_percentile(jobs.wait_s[done], 99),
        utilisation=usage.utilised.get(chief, 0.0),
        allocation=usage.allocated.get(chief, 0.0),
        fragmentation=fragmentation.mean if fragmentation else None,
        ftf_worst=float(ratios.max()) if len(ratios) else None,
        ftf_unfair_share=float(np.mean(ratios > 1.0 + 1e-9)) if len(ratios) else None,
        slowdown_mean=_mean(slow[done]),
        slowdown_p99=_percentile(slow[done], 99),
        apdex=_apdex(slow),
        deadlines=int(dated.sum()),
        deadlines_met=int(np.sum(dated & done & (jobs.ended_s <= jobs.deadline_s))),
        preemptions=causes[EndCause.PREEMPTED.value],
        restarts=len(outcome.stays) - len({stay.key for stay in outcome.stays}),
        lost_device_h=lost_device_s(outcome) / HOUR_S,
        cost=usage.cost,
        energy_kwh=usage.energy_kwh,
        usage=usage,
        curves=fragmentation,
        predictions=predictions_of(outcome),
        by_size=_by_size(jobs, slow),
        steps=outcome.steps,
        policy_cpu_s=outcome.policy_cpu_s,
        decisions_hash=outcome.decisions_hash,
    )


def slowdowns(jobs: Jobs) -> Floats:
    """float[n]: completion time over time alone, both at least SLOWDOWN_BOUND_S, at least 1; nan where not done."""
    with np.errstate(invalid="ignore"):
        return np.maximum(1.0, jobs.jct_s / np.maximum(jobs.fastest_s, SLOWDOWN_BOUND_S))


def size_of(devices: float) -> str:
    """The group of a job by its accelerators: none, a share of one, then up to the next power of two."""
    if devices <= 0:
        return "none"
    if devices < 1:
        return "share"
    least = 2 ** int(math.log2(devices))
    return f"{least}" if least == 1 else f"{least}-{2 * least - 1}"


def _by_size(jobs: Jobs, slow: Floats) -> tuple[SizeGroup, ...]:
    groups: list[SizeGroup] = []
    sizes = np.array([size_of(devices) for devices in jobs.devices])
    for size in dict.fromkeys(sizes[np.argsort(jobs.devices, kind="stable")].tolist()):
        chosen = sizes == size
        done = chosen & jobs.is_done
        groups.append(
            SizeGroup(
                size=size,
                jobs=int(chosen.sum()),
                jobs_done=int(done.sum()),
                jct_mean_s=_mean(jobs.jct_s[done]),
                wait_mean_s=_mean(jobs.wait_s[done]),
                slowdown_mean=_mean(slow[done]),
            )
        )
    return tuple(groups)


def _apdex(slow: Floats) -> float | None:
    """(satisfied + tolerating / 2) of all jobs; one that has not succeeded is frustrated."""
    if not len(slow):
        return None
    satisfied = np.sum(slow <= SATISFIED_SLOWDOWN)
    tolerating = np.sum((slow > SATISFIED_SLOWDOWN) & (slow <= _TOLERATED * SATISFIED_SLOWDOWN))
    return float(satisfied + tolerating / 2) / len(slow)


def _mean(values: Floats) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _percentile(values: Floats, percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None
