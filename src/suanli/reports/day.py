"""One offline page of a day on a fleet: what waited why, who ran where, what happened when, what a change changed."""

import html
from collections.abc import Sequence
from pathlib import Path

import msgspec
import plotly.graph_objects as go

from suanli.reports import simulation_figures as figures
from suanli.reports.frame import document, section, styled, table
from suanli.reports.page import REASON_COLOURS
from suanli.reports.simulation_table import result_table
from suanli.sim.jobs import jobs_of
from suanli.sim.metrics import measure
from suanli.sim.outcome import Level, Outcome

HOUR_S = 3600.0
SIMULATED_COLOURS = ("#1d2430", "#c8463d")


class Mark(msgspec.Struct, frozen=True):
    """What happened at an instant, in a word or two."""

    at_s: float
    text: str


class Waiting(msgspec.Struct, frozen=True):
    """From `at_s` to the next of these: how many workloads waited for which reason."""

    at_s: float
    counts: dict[str, int]


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """All that is on the page. Instants are seconds of the day.

    `rows` stand as a table under `head`. `simulated` are levels by name, beside what truly was.
    """

    title: str
    facts: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    outcome: Outcome
    waiting: tuple[Waiting, ...]
    marks: tuple[Mark, ...]
    simulated: tuple[tuple[str, tuple[Level, ...]], ...] = ()


def write(path: Path, day: Day) -> Path:
    """Write the page and return its path."""
    metrics = measure(day.outcome)
    run = figures.Run(name="as it was", outcome=day.outcome, metrics=metrics, jobs=jobs_of(day.outcome))
    results = result_table([metrics])
    body = [
        section("What waited, and why", _waiting_caption(day), _waiting(day)),
        section(
            "In use",
            "Accelerators held, of all there are.",
            _marked(figures.devices_in_use([run]), day.marks),
        ),
        section(
            "Who ran where",
            "One row a device. Hover for the workload.",
            _marked(figures.gantt(run), day.marks, named=False),
        ),
        section(
            "Completion times", "The share of all jobs done within a time.", figures.completion_times([run])
        ),
        "<section><h2>The day in numbers</h2>" + table(("", "the whole day"), results.rows) + "</section>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    page = document(day.title, day.facts, table(day.head, day.rows), "".join(body))
    path.write_text(page, encoding="utf-8")
    return path


def _waiting_caption(day: Day) -> str:
    dotted = " Dotted: how many, as simulated." if day.simulated else ""
    return f"Workloads, by their dominant reason.{dotted}"


def _waiting(day: Day) -> go.Figure:
    figure = go.Figure()
    tokens = dict.fromkeys(token for waiting in day.waiting for token in waiting.counts)
    for i, token in enumerate(tokens):
        figure.add_scatter(
            name=html.escape(token),
            x=[waiting.at_s / HOUR_S for waiting in day.waiting],
            y=[waiting.counts.get(token, 0) for waiting in day.waiting],
            mode="lines",
            stackgroup="why",
            line={"shape": "hv", "width": 0, "color": REASON_COLOURS[i % len(REASON_COLOURS)]},
        )
    for colour, (name, levels) in zip(SIMULATED_COLOURS, day.simulated, strict=False):
        figure.add_scatter(
            name=html.escape(name),
            x=[level.at_s / HOUR_S for level in levels],
            y=[level.waiting for level in levels],
            mode="lines",
            line={"shape": "hv", "width": 1.6, "dash": "dot", "color": colour},
        )
    figure.update_layout(
        height=340,
        xaxis={"title": "hours"},
        yaxis={"title": "waiting", "rangemode": "tozero"},
        showlegend=True,
    )
    return _marked(styled(figure), day.marks)


def _marked(figure: go.Figure, marks: Sequence[Mark], *, named: bool = True) -> go.Figure:
    """A line across the chart at each instant."""
    for mark in marks:
        figure.add_vline(
            x=mark.at_s / HOUR_S,
            line={"width": 1, "dash": "dash", "color": "#8a8f98"},
            annotation={
                "text": html.escape(mark.text) if named else "",
                "font": {"size": 11, "color": "#5b6472"},
                "textangle": 0,
                "yanchor": "top",
            },
        )
    return figure
