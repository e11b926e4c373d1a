"""Mixed work for a fleet, drawn one job at a time, in the shapes of public traces.

Sizes and durations: Philly (Jeon et al., USENIX ATC'19), our fit of its 82,247 jobs: durations are log-normal with a
median of 1,144 s and a sigma of 2.16, so that few long ones make up most of the work; larger jobs run longer. Shares of
accelerators, and work without any: openb (Weng et al., USENIX ATC'23). Deadlines after 1.1 to 5 durations: Chronus (Gao
et al., SoCC'21). Speed-ups between K80 and V100 from 2 to 7: Gavel (Narayanan et al., OSDI'20) measured
2 to 10.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from suanli.catalog.accelerators import load
from suanli.domain.errors import UsageError
from suanli.domain.fleet import Fleet, Node
from suanli.domain.workload import Kind
from suanli.traces.accelerators import gang
from suanli.traces.table import Row, models_of

DAY_S = 86_400.0
_CPUS_PER_DEVICE = 4.0
_MEMORY_PER_DEVICE_BYTES = 16 * 2**30


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """What the work is like: `sizes` in accelerators with their shares, other shares as fractions of all jobs.

    A program is as fast on an accelerator as its peak speed to the power beside the program's name.
    """

    programs: tuple[tuple[str, float], ...] = (
        ("language-model", 0.85),
        ("image-classifier", 0.8),
        ("speech", 0.6),
        ("recommender", 0.4),
        ("reinforcement", 0.3),
    )
    sizes: tuple[tuple[int, float], ...] = (
        (1, 0.932),
        (2, 0.022),
        (4, 0.023),
        (8, 0.02),
        (16, 0.0024),
        (32, 0.0006),
    )
    median_s: float = 1_144.0
    sigma: float = 2.16
    longest_s: float = 14 * DAY_S
    shared: float = 0.2
    cpu_only: float = 0.1
    urgent: float = 0.1
    with_deadline: float = 0.2
    with_estimate: float = 0.5
    teams: int = 4


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A draw that has no time yet: its row arrives at 0, and takes `duration_s` on a middling accelerator."""

    row: Row
    devices: float
    duration_s: float
    deadline_factor: float | None


def draw(fleet: Fleet, jobs: int, mix: Mix, rng: np.random.Generator) -> list[Job]:
    """Jobs that all can run on the fleet. Raises UsageError where it has no accelerators. O(jobs · models)."""
    by_model = {model: [n for n in fleet.nodes if model in n.accelerators] for model in models_of(fleet)}
    if not by_model:
        raise UsageError("The fleet has no accelerators to make work for.")
    return [_job(by_model, index, mix, rng) for index in range(jobs)]


def named(row: Row, index: int) -> Row:
    return msgspec.structs.replace(row, name=f"{row.program}-{index}")


def _job(by_model: dict[str, list[Node]], index: int, mix: Mix, rng: np.random.Generator) -> Job:
    size = _size(mix, rng)
    program, power = mix.programs[int(rng.integers(len(mix.programs)))]
    spread = rng.lognormal(math.log(mix.median_s * max(size, 1.0)), mix.sigma)
    duration_s = round(float(np.clip(spread, 10.0, mix.longest_s)), 3)
    urgent, dated, known = rng.random(3) < (mix.urgent, mix.with_deadline, mix.with_estimate)
    deadline_factor, error = float(rng.uniform(1.1, 5.0)), float(rng.lognormal(0.0, 0.5))
    row = Row(
        name="",
        at_s=0.0,
        work=duration_s,
        kind=Kind.TRAIN if size else Kind.JOB,
        program=program if size else "preprocessing",
        team=f"team-{min(int(rng.geometric(0.5)), mix.teams)}",
        priority=80 if urgent else 50,
        duration_s=float(math.ceil(duration_s * error)) if known else None,
        checkpoint_every_s=1_800.0 if size else None,
        cpus=0.0 if size else 1.0,
    )
    asked = _on_devices(row, by_model, size, power) if size else row
    return Job(
        row=named(asked, index),
        devices=asked.nodes * asked.accelerators_per_node,
        duration_s=duration_s,
        deadline_factor=deadline_factor if dated else None,
    )


def _size(mix: Mix, rng: np.random.Generator) -> float:
    """Accelerators: none, a quarter or half of one, or whole ones."""
    sizes, shares = zip(*mix.sizes, strict=True)
    size = float(rng.choice(sizes, p=np.array(shares) / sum(shares)))
    kind, half = rng.random(2)
    if kind < mix.cpu_only:
        return 0.0
    if size == 1 and kind < mix.cpu_only + mix.shared:
        return 0.5 if half < 0.5 else 0.25
    return size


def _on_devices(row: Row, by_model: dict[str, list[Node]], size: float, power: float) -> Row:
    """The row as a gang that fits at least one model of the fleet, halved until it does."""
    while True:
        largest = max(len(node.accelerators) for nodes in by_model.values() for node in nodes)
        nodes, per_node = gang(int(size), largest) if size >= 1 else (1, size)
        able = {model: fit for model, on in by_model.items() if len(fit := _fitting(on, per_node)) >= nodes}
        if able:
            break
        size = size // 2
    hosts = [node for fit in able.values() for node in fit]
    share = min(node.cpus / len(node.accelerators) for node in hosts)
    memory = min(node.memory_bytes // len(node.accelerators) for node in hosts)
    return msgspec.structs.replace(
        row,
        nodes=nodes,
        accelerators=tuple(able),
        accelerators_per_node=per_node,
        cpus=round(min(share, _CPUS_PER_DEVICE) * per_node, 3),
        memory_bytes=int(min(memory, _MEMORY_PER_DEVICE_BYTES) * per_node),
        speeds=_speeds({model: len(fit) for model, fit in able.items()}, power),
    )


def _fitting(nodes: Sequence[Node], per_node: float) -> list[Node]:
    return [node for node in nodes if len(node.accelerators) >= per_node]


def _speeds(counts: dict[str, int], power: float) -> dict[str, float]:
    """Seconds of work a second by model, 1 on average over so many; none where the catalogue lacks a peak speed."""
    speeds = {model: _peak_flops(model) ** power for model in counts}
    if not all(speeds.values()):
        return {}
    mean = sum(speeds[model] * count for model, count in counts.items()) / sum(counts.values())
    return {
        model: round(speed / mean, 4) for model, speed in sorted(speeds.items(), key=lambda item: -item[1])
    }


def _peak_flops(model: str) -> float:
    """Between the peaks in half and in single precision, as training mixes them; 0 where neither is known."""
    known = load().lookup(model)
    peaks = (
        [known.flops[precision] for precision in ("fp16", "fp32") if precision in known.flops]
        if known
        else []
    )
    return math.prod(peaks) ** (1 / len(peaks)) if peaks else 0.0
