"""The metrics of simulations as one table: a metric a row, a run a column; for the terminal and for the page."""

from collections.abc import Callable, Sequence

import msgspec

from suanli.reports.quantities import duration
from suanli.sim.metrics import Metrics

NONE = "–"


class ResultTable(msgspec.Struct, frozen=True):
    """`best` are the cells, by row and column, that are better than the others' in their row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]]


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A row: its name, what is compared, how that is written, and whether less of it is better (None: neither)."""

    name: str
    value: Callable[[Metrics], float | None]
    write: Callable[[float], str]
    less: bool | None = True


def result_table(runs: Sequence[Metrics]) -> ResultTable:
    """O(metrics · runs)."""
    lines = [*_lines(runs), *_resources(runs)]
    rows: list[tuple[str, ...]] = []
    best: set[tuple[int, int]] = set()
    for r, line in enumerate(lines):
        values = [line.value(run) for run in runs]
        rows.append((line.name, *(NONE if value is None else line.write(value) for value in values)))
        best |= {(r, c + 1) for c in _best(values, line.less)}
    return ResultTable(("", *run_names(runs)), tuple(rows), frozenset(best))


def run_names(runs: Sequence[Metrics]) -> list[str]:
    """Their policies by the parts in which they differ, and which were told how much there is to do."""
    parts = [run.policy.split("+") for run in runs]
    differ = [k for k, column in enumerate(zip(*parts, strict=False)) if len(set(column)) > 1]
    told = [" (oracle)" if run.oracle else "" for run in runs]
    if not differ or len({len(names) for names in parts}) > 1:
        return [run.policy + oracle for run, oracle in zip(runs, told, strict=True)]
    return ["+".join(names[k] for k in differ) + oracle for names, oracle in zip(parts, told, strict=True)]


def _best(values: Sequence[float | None], less: bool | None) -> list[int]:
    known = [value for value in values if value is not None]
    if less is None or len(known) < 2 or min(known) == max(known):
        return []
    best = min(known) if less else max(known)
    return [c for c, value in enumerate(values) if value == best]


def _lines(runs: Sequence[Metrics]) -> list[_Line]:
    lines = [
        _Line(name="jobs done", value=lambda m: m.jobs_done, write=_count, less=False),
        _Line(name="JCT, mean", value=lambda m: m.jct_mean_s, write=duration),
        _Line(name="JCT, median", value=lambda m: m.jct_p50_s, write=duration),
        _Line(name="JCT, 99 %", value=lambda m: m.jct_p99_s, write=duration),
        _Line(name="makespan", value=lambda m: m.makespan_s, write=duration),
        _Line(name="waiting, mean", value=lambda m: m.wait_mean_s, write=duration),
        _Line(name="waiting, 99 %", value=lambda m: m.wait_p99_s, write=duration),
        _Line(name="slowdown, mean", value=lambda m: m.slowdown_mean, write=_times),
        _Line(name="slowdown, 99 %", value=lambda m: m.slowdown_p99, write=_times),
        _Line(name="Apdex", value=lambda m: m.apdex, write=_plain, less=False),
        _Line(name="finish-time ratio, worst", value=lambda m: m.ftf_worst, write=_plain),
        _Line(name="unfair (ratio > 1)", value=lambda m: m.ftf_unfair_share, write=_percent),
        _Line(name="deadlines met", value=_met, write=_percent, less=False),
        _Line(name="preemptions", value=lambda m: m.preemptions, write=_count),
        _Line(name="restarts", value=lambda m: m.restarts, write=_count),
        _Line(name="work lost, device hours", value=lambda m: m.lost_device_h, write=_amount),
        _Line(name="cost of what was held, $", value=lambda m: m.cost, write=_amount),
        _Line(name="cost of the fleet, $", value=lambda m: m.usage.fleet_cost, write=_amount),
        _Line(name="energy, kWh", value=lambda m: m.energy_kwh, write=_amount),
        _Line(name="durations foreseen", value=_known, write=_percent, less=None),
        _Line(name="off by, median", value=_off, write=_times, less=None),
        _Line(name="deciding, CPU s", value=lambda m: m.policy_cpu_s, write=_amount, less=None),
        _Line(name="utilisation", value=lambda m: m.utilisation, write=_percent, less=False),
        _Line(name="fragmentation", value=lambda m: m.fragmentation, write=_percent),
        _Line(name="allocation", value=lambda m: m.allocation, write=_percent, less=False),
    ]
    if not any(run.deadlines for run in runs):
        lines = [line for line in lines if line.name != "deadlines met"]
    if not any(run.predictions for run in runs):
        lines = [line for line in lines if line.value not in (_known, _off)]
    return lines


def _known(run: Metrics) -> float | None:
    return run.predictions.known_share if run.predictions else None


def _off(run: Metrics) -> float | None:
    return run.predictions.off_p50 if run.predictions else None


def _met(run: Metrics) -> float | None:
    return run.deadlines_met / run.deadlines if run.deadlines else None


def _resources(runs: Sequence[Metrics]) -> list[_Line]:
    """Allocation by kind, of those that anybody asked for."""
    kinds = dict.fromkeys(
        kind
        for run in runs
        for kind, share in run.usage.allocated.items()
        if share and kind != "accelerators"
    )
    return [
        _Line(name=f"allocation, {kind}", value=_allocated(kind), write=_percent, less=None) for kind in kinds
    ]


def _allocated(kind: str) -> Callable[[Metrics], float | None]:
    return lambda run: run.usage.allocated.get(kind)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _times(value: float) -> str:
    return f"{value:,.2f}×"


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
