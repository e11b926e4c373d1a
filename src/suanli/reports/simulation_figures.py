"""Charts of simulations: who held which device when, use and queue over time, completion times, what is worth what."""

import html
from collections.abc import Sequence

import msgspec
import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import qualitative

from suanli.reports.frame import styled
from suanli.reports.page import FAILURE_COLOUR, OUTCOME_COLOURS
from suanli.reports.quantities import duration
from suanli.reports.simulation_table import run_names
from suanli.sim.jobs import Jobs, jobs_of
from suanli.sim.metrics import Metrics, SizeGroup, measure
from suanli.sim.outcome import Outcome, Stay

COLOURS = qualitative.Safe
POINTS_MAX = 1_000
BARS_MAX = 4_000
DEVICES_MAX = 64
HOUR_S = 3600.0

Floats = NDArray[np.float64]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation, what was made of it, and its name as HTML."""

    name: str
    outcome: Outcome
    metrics: Metrics
    jobs: Jobs


def runs_of(outcomes: Sequence[Outcome]) -> list[Run]:
    """The runs to be drawn side by side."""
    metrics = [measure(outcome) for outcome in outcomes]
    return [
        Run(name=html.escape(name), outcome=outcome, metrics=measured, jobs=jobs_of(outcome))
        for name, outcome, measured in zip(run_names(metrics), outcomes, metrics, strict=True)
    ]


def completion_times(runs: Sequence[Run]) -> go.Figure:
    """The share of jobs that were done within a time of their arrival; of all jobs, so that it ends below 1 if some
    never were."""
    figure = go.Figure()
    for i, run in enumerate(runs):
        jct_s = np.sort(run.jobs.jct_s[run.jobs.is_done])
        shares = np.arange(1, len(jct_s) + 1) / max(len(run.jobs.keys), 1)
        kept = _thinned(len(jct_s))
        figure.add_scatter(
            name=run.name,
            x=np.maximum(jct_s[kept], 1.0) / HOUR_S,
            y=shares[kept],
            mode="lines",
            line={"shape": "hv", "color": _colour(i)},
        )
    figure.update_layout(
        height=340,
        xaxis={"type": "log", "title": "hours from arrival to end"},
        yaxis={"title": "share of jobs", "tickformat": ".0%", "range": [0, 1.01]},
        showlegend=True,
    )
    return styled(figure)


def devices_in_use(runs: Sequence[Run]) -> go.Figure:
    """Accelerators that were held, as a share of the fleet's; of a fleet without any, cores."""
    figure = go.Figure()
    for i, run in enumerate(runs):
        levels = run.outcome.levels
        devices = sum(len(node.accelerators) for node in run.outcome.fleet.nodes)
        cores = sum(node.cpus for node in run.outcome.fleet.nodes)
        held = [level.devices / devices if devices else level.cpus / cores for level in levels]
        _steps(figure, run, held, _colour(i))
    figure.update_layout(
        height=280,
        xaxis={"title": "hours"},
        yaxis={"title": "in use", "tickformat": ".0%", "rangemode": "tozero"},
        showlegend=True,
    )
    return styled(figure)


def queue(runs: Sequence[Run]) -> go.Figure:
    """Workloads that waited."""
    figure = go.Figure()
    for i, run in enumerate(runs):
        _steps(figure, run, [float(level.waiting) for level in run.outcome.levels], _colour(i))
    figure.update_layout(
        height=280,
        xaxis={"title": "hours"},
        yaxis={"title": "waiting", "rangemode": "tozero"},
        showlegend=True,
    )
    return styled(figure)


def by_size(runs: Sequence[Run]) -> go.Figure:
    """Mean completion time by accelerators asked for."""
    figure = go.Figure()
    for i, run in enumerate(runs):
        groups = [group for group in run.metrics.by_size if group.jct_mean_s is not None]
        figure.add_bar(
            name=run.name,
            x=[_size_label(group) for group in groups],
            y=[(group.jct_mean_s or 0.0) / HOUR_S for group in groups],
            hovertext=[_size_text(group) for group in groups],
            hoverinfo="text",
            marker={"color": _colour(i)},
        )
    figure.update_layout(
        height=320,
        barmode="group",
        xaxis={"title": "accelerators asked for", "type": "category"},
        yaxis={"title": "mean completion time, hours"},
        showlegend=True,
    )
    return styled(figure)


def over_demand(runs: Sequence[Run]) -> go.Figure:
    """What is held, and what is idle and of no use to the typical workload, as ever more is asked for."""
    figure = go.Figure()
    for i, run in enumerate(runs):
        curves = run.metrics.curves
        if curves is None:
            continue
        for name, values, dash in (
            ("held", curves.allocation_pct, "solid"),
            ("fragmented", curves.fragmentation_pct, "dot"),
        ):
            figure.add_scatter(
                name=f"{run.name}, {name}",
                x=curves.demand_pct,
                y=values,
                mode="lines",
                line={"color": _colour(i), "dash": dash},
            )
    figure.update_layout(
        height=380,
        xaxis={"title": "accelerators asked for by all that arrived, % of the fleet's"},
        yaxis={"title": "% of all accelerators", "rangemode": "tozero"},
        showlegend=True,
    )
    return styled(figure)


def trade_offs(runs: Sequence[Run]) -> go.Figure:
    """Completion time against cost, coloured by fairness; filled where no other run is better in all three."""
    known = [run for run in runs if run.metrics.jct_mean_s is not None]
    best = pareto_front([_goals(run.metrics) for run in known])
    figure = go.Figure()
    figure.add_scatter(
        x=[(run.metrics.jct_mean_s or 0.0) / HOUR_S for run in known],
        y=[run.metrics.cost for run in known],
        text=[run.name for run in known],
        mode="markers+text",
        cliponaxis=False,
        textposition="top center",
        hovertext=[_goals_text(run) for run in known],
        hoverinfo="text",
        marker={
            "size": 14,
            "symbol": ["circle" if i in best else "circle-open" for i in range(len(known))],
            "color": [run.metrics.ftf_worst for run in known],
            "colorscale": "Viridis_r",
            "colorbar": {"title": "worst<br>finish-time<br>ratio"},
            "line": {"width": 2},
        },
    )
    figure.update_layout(
        height=420,
        xaxis={"title": "mean completion time, hours"},
        yaxis={"title": "cost of what was held, $"},
        showlegend=False,
    )
    return styled(figure)


def pareto_front(points: Sequence[tuple[float, ...]]) -> frozenset[int]:
    """Indices of the points of which no other is at least as low in all goals and lower in one. O(points²)."""
    return frozenset(
        i
        for i, point in enumerate(points)
        if not any(
            other != point and all(o <= p for o, p in zip(other, point, strict=True)) for other in points
        )
    )


def gantt(run: Run) -> go.Figure:
    """Which workload held which device when, of the first devices of the fleet and as far as bars suffice."""
    rows = gantt_rows(run.outcome)
    figure = go.Figure()
    for cause in dict.fromkeys(stay.cause for _, stay in rows):
        bars = [(row, stay) for row, stay in rows if stay.cause == cause]
        figure.add_bar(
            name=cause or "running",
            orientation="h",
            y=[html.escape(row) for row, _ in bars],
            base=[stay.placed_s / HOUR_S for _, stay in bars],
            x=[(stay.ended_s - stay.placed_s) / HOUR_S for _, stay in bars],
            hovertext=[_stay_text(stay) for _, stay in bars],
            hoverinfo="text",
            marker={
                "color": OUTCOME_COLOURS.get(cause or "running", FAILURE_COLOUR),
                "line": {"width": 0.6, "color": "#ffffff"},
            },
        )
    names = [html.escape(row) for row in dict.fromkeys(row for row, _ in rows)]
    order = [row for row in map(html.escape, device_rows(run.outcome)) if row in set(names)]
    figure.update_layout(
        barmode="overlay",
        height=110 + 13 * max(len(order), 6),
        bargap=0.12,
        xaxis={"title": "hours"},
        yaxis={
            "categoryorder": "array",
            "categoryarray": order[::-1],
            "automargin": True,
            "tickfont": {"size": 9},
        },
        showlegend=True,
    )
    return styled(figure)


def device_rows(outcome: Outcome) -> list[str]:
    """The names of the first devices of the fleet, in its order; a node without any is one row."""
    rows: list[str] = []
    for node in outcome.fleet.nodes:
        rows += [
            _row(node.name, device, len(node.accelerators))
            for device in range(max(1, len(node.accelerators)))
        ]
        if len(rows) >= DEVICES_MAX:
            break
    return rows[:DEVICES_MAX]


def gantt_rows(outcome: Outcome) -> list[tuple[str, Stay]]:
    """Stays on those devices in the order of placing, at most BARS_MAX. O(placements)."""
    shown = set(device_rows(outcome))
    devices = {node.name: len(node.accelerators) for node in outcome.fleet.nodes}
    rows = [
        (row, stay)
        for stay in sorted(outcome.stays, key=lambda stay: stay.placed_s)
        for placement in stay.placements
        for device in (placement.share.devices or (0,))
        if (row := _row(placement.node, device, devices[placement.node])) in shown
    ]
    return rows[:BARS_MAX]


def _row(node: str, device: int, devices: int) -> str:
    return f"{node}/{device}" if devices > 1 else node


def _steps(figure: go.Figure, run: Run, values: Sequence[float], colour: str) -> None:
    """A line of levels; of very many, their means over equal stretches of time."""
    at_s = np.array([level.at_s for level in run.outcome.levels])
    level = np.array(values, dtype=np.float64)
    if len(at_s) > POINTS_MAX:
        at_s, level = averaged(at_s, level, POINTS_MAX)
    figure.add_scatter(
        name=run.name,
        x=at_s / HOUR_S,
        y=level,
        mode="lines",
        line={"shape": "hv", "width": 1.4, "color": colour},
    )


def averaged(at_s: Floats, level: Floats, stretches: int) -> tuple[Floats, Floats]:
    """The beginnings of equal stretches of time, and the mean of the level over each. O(levels + stretches)."""
    area = np.concatenate([[0.0], np.cumsum(np.diff(at_s) * level[:-1])])
    edges = np.linspace(at_s[0], at_s[-1], stretches + 1)
    means = np.diff(np.interp(edges, at_s, area)) / np.diff(edges)
    return edges, np.append(means, level[-1])


def _thinned(count: int) -> NDArray[np.intp]:
    """Indices of at most so many as can be seen, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS_MAX)).astype(np.intp))


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _goals(metrics: Metrics) -> tuple[float, ...]:
    return (metrics.jct_mean_s or 0.0, metrics.cost, metrics.ftf_worst or 0.0)


def _goals_text(run: Run) -> str:
    jct_s, cost, unfair = _goals(run.metrics)
    return f"{run.name}<br>mean completion {duration(jct_s)}<br>${cost:,.2f}<br>worst finish-time ratio {unfair:.2f}"


def _size_label(group: SizeGroup) -> str:
    return {"none": "none", "share": "a share"}.get(group.size, group.size)


def _size_text(group: SizeGroup) -> str:
    jct_s, wait_s = group.jct_mean_s or 0.0, group.wait_mean_s or 0.0
    return (
        f"{group.jobs_done:,} of {group.jobs:,} jobs done<br>mean completion {duration(jct_s)}"
        f"<br>mean waiting {duration(wait_s)}<br>mean slowdown {group.slowdown_mean or 0.0:.2f}"
    )


def _stay_text(stay: Stay) -> str:
    nodes = len({placement.node for placement in stay.placements})
    where = f"{nodes} nodes" if nodes > 1 else stay.placements[0].node
    held = f"{duration(stay.ended_s - stay.placed_s)} from {duration(stay.placed_s)}"
    who = f"{html.escape(stay.key)}, attempt {stay.number}, on {html.escape(where)}"
    return f"{who}<br>{held}, {stay.cause or 'running'}"
