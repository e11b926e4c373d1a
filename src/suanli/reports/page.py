"""One self-contained HTML page of what happened: opens offline, needs nothing but a browser."""

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import plotly.graph_objects as go

from suanli.reports.frame import document, section, styled, table
from suanli.reports.quantities import duration
from suanli.reports.timeline import RunSpan, WaitSpan

Points = Sequence[tuple[float, float]]

OUTCOME_COLOURS = {
    "running": "#4c8dd6",
    "succeeded": "#3d9a63",
    "preempted": "#d9912b",
    "rebalanced": "#d9912b",
    "drained": "#d9912b",
    "stopped": "#8a8f98",
    "idle": "#8a8f98",
}
FAILURE_COLOUR = "#c8463d"
REASON_COLOURS = ("#b9a5e2", "#e2c48f", "#9fc6d8", "#e0a3b4", "#b5cf9a", "#c9c3b8", "#8fb0e0", "#d8d27f")


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart."""

    name: str
    points: Points


class PageData(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the page. Instants are seconds since the epoch; `load` is in fractions of a node.

    `summary` rows are shown as a table under `summary_head`; `facts` are short lines above it.
    """

    title: str
    facts: tuple[str, ...]
    summary_head: tuple[str, ...]
    summary: tuple[tuple[str, ...], ...]
    runs: tuple[RunSpan, ...]
    waits: tuple[WaitSpan, ...]
    load: tuple[Curve, ...]
    progress: tuple[Curve, ...]
    progress_unit: str = ""


def write(path: Path, data: PageData) -> Path:
    """Write the page and return its path. Everything from users is escaped."""
    figures = [
        ("What ran when", "Attempts by workload. Hover for nodes and how each ended.", _gantt(data)),
        ("Why it waited", "One dominant reason at every instant.", _reasons(data)),
        (
            "Node load",
            "CPU used, as a share of the node.",
            _lines(data.load, "share of the node", percent=True),
        ),
    ]
    if data.progress:
        caption = "As the programs report it themselves."
        figures.append(("Learning", caption, _lines(data.progress, data.progress_unit)))
    body = "".join(section(heading, caption, figure) for heading, caption, figure in figures)
    path.parent.mkdir(parents=True, exist_ok=True)
    summary = table(data.summary_head, data.summary)
    path.write_text(document(data.title, data.facts, summary, body), encoding="utf-8")
    return path


def _gantt(data: PageData) -> go.Figure:
    figure = go.Figure()
    for outcome in dict.fromkeys(span.outcome for span in data.runs):
        spans = [span for span in data.runs if span.outcome == outcome]
        _bars(
            figure,
            outcome,
            OUTCOME_COLOURS.get(outcome, FAILURE_COLOUR),
            [(span.key, span.placed_s, span.to_s, _run_text(span)) for span in spans],
        )
    return _timeline(figure, [span.key for span in data.runs])


def _reasons(data: PageData) -> go.Figure:
    figure = go.Figure()
    for i, token in enumerate(dict.fromkeys(span.token for span in data.waits)):
        spans = [span for span in data.waits if span.token == token]
        rows = [(s.key, s.from_s, s.to_s, f"{token} for {duration(s.to_s - s.from_s)}") for s in spans]
        _bars(figure, token, REASON_COLOURS[i % len(REASON_COLOURS)], rows)
    return _timeline(figure, [span.key for span in data.waits])


def _bars(figure: go.Figure, name: str, colour: str, rows: Sequence[tuple[str, float, float, str]]) -> None:
    figure.add_bar(
        name=name,
        orientation="h",
        y=[html.escape(key) for key, _, _, _ in rows],
        base=[_instant(from_s) for _, from_s, _, _ in rows],
        x=[max(to_s - from_s, 0.05) * 1000.0 for _, from_s, to_s, _ in rows],
        hovertext=[html.escape(text) for _, _, _, text in rows],
        hoverinfo="text",
        marker={"color": colour, "line": {"width": 0}},
    )


def _timeline(figure: go.Figure, keys: Sequence[str]) -> go.Figure:
    names = [html.escape(key) for key in dict.fromkeys(keys)]
    figure.update_layout(
        barmode="overlay",
        height=90 + 34 * max(len(names), 2),
        xaxis={"type": "date", "title": None},
        yaxis={"categoryorder": "array", "categoryarray": names[::-1], "automargin": True},
        bargap=0.35,
    )
    return styled(figure)


def _lines(curves: Sequence[Curve], unit: str, *, percent: bool = False) -> go.Figure:
    figure = go.Figure()
    for curve in curves:
        figure.add_scatter(
            name=html.escape(curve.name),
            mode="lines",
            x=[_instant(at_s) for at_s, _ in curve.points],
            y=[value for _, value in curve.points],
        )
    axis = {"title": unit, "rangemode": "tozero", **({"tickformat": ".0%"} if percent else {})}
    figure.update_layout(height=280, yaxis=axis, xaxis={"type": "date"}, showlegend=True)
    return styled(figure)


def _run_text(span: RunSpan) -> str:
    where = ", ".join(span.nodes)
    ran = "never came up" if span.started_s is None else f"ran {duration(span.to_s - span.started_s)}"
    detail = f": {span.detail}" if span.detail else ""
    return f"attempt {span.number} on {where}, {ran}, {span.outcome}{detail}"


def _instant(at_s: float) -> str:
    """Local time without an offset: the browser's chart shows it as it stands."""
    return (
        datetime.fromtimestamp(at_s, tz=UTC)
        .astimezone()
        .replace(tzinfo=None)
        .isoformat(timespec="milliseconds")
    )
