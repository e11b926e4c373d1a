"""Simulations as one self-contained HTML page: opens offline, needs nothing but a browser."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from suanli.reports import simulation_figures as figures
from suanli.reports.frame import document, section, table
from suanli.reports.simulation_figures import Run
from suanli.reports.simulation_table import result_table
from suanli.sim.outcome import Outcome

GANTTS_MAX = 4


def write(path: Path, title: str, outcomes: Sequence[Outcome]) -> Path:
    """Write the page of one run, or of several on the same trace to be compared, and return its path."""
    runs = figures.runs_of(outcomes)
    results = result_table([run.metrics for run in runs])
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = table(results.head, results.rows, results.best)
    path.write_text(document(title, _facts(runs), tables, "".join(_sections(runs))), encoding="utf-8")
    return path


def _facts(runs: Sequence[Run]) -> list[str]:
    first = runs[0]
    fleet = first.outcome.fleet
    devices = sum(len(node.accelerators) for node in fleet.nodes)
    facts = [
        f"Trace {first.metrics.trace}, {first.metrics.jobs:,} workloads; seed {first.metrics.seed}.",
        f"Fleet {fleet.name}: {len(fleet.nodes):,} nodes, {devices:,} accelerators.",
    ]
    if any(run.metrics.oracle for run in runs):
        facts.append("An oracle was told how much work there is; others were not.")
    facts += [
        f"{run.metrics.policy} was ended before all was done." for run in runs if not run.metrics.is_whole
    ]
    usage = first.metrics.usage
    if usage.without_price:
        facts.append(f"No price is known of {', '.join(usage.without_price)}: they count as free.")
    if usage.without_power:
        facts.append(f"No power is known of {', '.join(usage.without_power)}: they count as drawing none.")
    return facts


def _sections(runs: Sequence[Run]) -> Iterator[str]:
    if any(run.metrics.jobs_done for run in runs):
        yield from _on_what_ended(runs)
    else:
        caption = "Nothing ended. What is fragmented is idle and of no use to the typical workload."
        yield section("Held and fragmented", caption, figures.over_demand(runs))
    yield section("In use", "Accelerators held, of all there are.", figures.devices_in_use(runs))
    yield section("Queue", "Workloads that waited.", figures.queue(runs))
    for run in runs[:GANTTS_MAX]:
        yield section(f"Who ran where: {run.name}", _gantt_caption(run), figures.gantt(run))


def _on_what_ended(runs: Sequence[Run]) -> Iterator[str]:
    if len(runs) > 1:
        caption = (
            "Left and low is better. Filled: no other run is better in completion time, cost and fairness."
        )
        yield section("What is worth what", caption, figures.trade_offs(runs))
    caption = "The share of all jobs done within a time."
    yield section("Completion times", caption, figures.completion_times(runs))
    yield section("By size", "How those fare that ask for more.", figures.by_size(runs))


def _gantt_caption(run: Run) -> str:
    devices = sum(max(1, len(node.accelerators)) for node in run.outcome.fleet.nodes)
    shown = len(figures.device_rows(run.outcome))
    bars = len(figures.gantt_rows(run.outcome))
    caption = "One row a device. Hover for the workload."
    if shown < devices:
        caption += f" These are the first {shown} of {devices:,} devices."
    if bars == figures.BARS_MAX:
        caption += f" Shown are the first {bars:,} stays on them."
    return caption
