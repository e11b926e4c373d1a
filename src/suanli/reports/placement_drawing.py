"""A placement drawn: which gang holds how much of which node, and when; one self-contained page that opens
offline."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import plotly.graph_objects as go

from suanli.domain.problem import Option, PlacementProblem
from suanli.reports.frame import document, section, styled, table
from suanli.reports.quantities import amount, duration
from suanli.solvers.placement.answer import Answer, Assignment

# Twelve colours that are told apart beside each other, also by most who see colours differently.
COLOURS = (
    "#4c78a8", "#f2a541", "#54a24b", "#c85c5c", "#72b7b2", "#9d74b5",
    "#e3c34b", "#8c6d4f", "#e48fb0", "#7f8896", "#2f6f5e", "#b8d07a",
)  # fmt: skip
LABEL_SHARE_MIN = 0.12
ROW_PX = 26


class _Block(msgspec.Struct, frozen=True, kw_only=True):
    """What a gang holds of one node."""

    node: str
    gang: str
    start_s: int
    end_s: int
    shares: tuple[float, ...]
    hover: str


def write(path: Path, problem: PlacementProblem, answer: Answer) -> Path:
    """Write the page and return its path. Where gangs wait for one another nodes are drawn over time, else by share
    of each resource. Names are escaped."""
    blocks = _blocks(problem, answer.assignments)
    nodes = [node.node(i) for node in problem.classes for i in range(node.count)]
    colours = {gang.name: COLOURS[i % len(COLOURS)] for i, gang in enumerate(problem.gangs)}
    if problem.objective.may_wait:
        caption = "Each node over time; gangs beside one another on a node stand in lanes of their own."
        figures = [section("Who runs where, and when", caption, _over_time(nodes, blocks, colours))]
    else:
        figures = [
            section(
                f"Shares of {resource.replace('_', ' ')}",
                "Of each node, by gang. Hover for amounts.",
                _by_share(nodes, blocks, colours, r),
            )
            for r, resource in reversed(list(enumerate(problem.resources)))
            if any(block.shares[r] > 0 for block in blocks)
        ]
    if len(answer.front) > 1:
        caption = "No known answer is better than one of these in cost and completion time at once."
        figures.append(section("Cost against completion time", caption, _front(answer)))
    path.parent.mkdir(parents=True, exist_ok=True)
    page = document(f"Placement {problem.name}", _facts(answer), _summary(answer), "".join(figures))
    path.write_text(page, encoding="utf-8")
    return path


def _blocks(problem: PlacementProblem, assignments: Sequence[Assignment]) -> list[_Block]:
    classes = {node_class.name: c for c, node_class in enumerate(problem.classes)}
    gangs = {gang.name: gang for gang in problem.gangs}
    blocks: list[_Block] = []
    for one in assignments:
        c = classes[one.node_class]
        option = next(o for o in gangs[one.gang].options if o.node_class == c)
        capacity = problem.classes[c].capacity
        shares = tuple(d / have if have > 0 else 0.0 for d, have in zip(option.demand, capacity, strict=True))
        hover = _hover(problem, one, option)
        blocks += [
            _Block(node=node, gang=one.gang, start_s=one.start_s, end_s=one.end_s, shares=shares, hover=hover)
            for node in one.nodes
        ]
    return blocks


def _hover(problem: PlacementProblem, one: Assignment, option: Option) -> str:
    holds = ", ".join(
        amount(resource, some)
        for resource, some in zip(problem.resources, option.demand, strict=True)
        if some
    )
    when = f"{duration(one.start_s)} to {duration(one.end_s)}"
    return html.escape(f"{one.gang}: {holds} on each of {len(one.nodes)}, {when}, ${one.cost_usd:,.2f}")


def _by_share(
    nodes: Sequence[str], blocks: Sequence[_Block], colours: Mapping[str, str], resource: int
) -> go.Figure:
    figure = go.Figure()
    for gang in dict.fromkeys(block.gang for block in blocks):
        held = [block for block in blocks if block.gang == gang]
        figure.add_bar(
            orientation="h",
            name=html.escape(gang),
            y=[html.escape(block.node) for block in held],
            x=[block.shares[resource] for block in held],
            text=[html.escape(gang) if block.shares[resource] >= LABEL_SHARE_MIN else "" for block in held],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            constraintext="inside",
            hovertext=[block.hover for block in held],
            hoverinfo="text",
            marker={"color": colours[gang], "line": {"width": 1, "color": "#ffffff"}},
        )
    figure.update_layout(barmode="stack", xaxis={"range": [0, 1], "tickformat": ".0%", "title": None})
    return _with_nodes(figure, nodes)


def _over_time(nodes: Sequence[str], blocks: Sequence[_Block], colours: Mapping[str, str]) -> go.Figure:
    """Every node is a row of height 1, cut into as many lanes as gangs are on it at once."""
    figure = go.Figure()
    last_h = max((block.end_s for block in blocks), default=0) / 3600
    for row, node in enumerate(nodes):
        here = sorted((b for b in blocks if b.node == node), key=lambda b: (b.start_s, b.end_s, b.gang))
        lanes = _lanes(here)
        height = 0.86 / max([1, *(lane + 1 for lane in lanes)])
        for block, lane in zip(here, lanes, strict=True):
            hours = (block.end_s - block.start_s) / 3600
            figure.add_bar(
                orientation="h",
                y=[row - 0.43 + (lane + 0.5) * height],
                base=[block.start_s / 3600],
                x=[hours],
                width=height * 0.94,
                text=[html.escape(block.gang) if hours >= LABEL_SHARE_MIN / 2 * last_h else ""],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                constraintext="inside",
                hovertext=[block.hover],
                hoverinfo="text",
                marker={"color": colours[block.gang], "line": {"width": 0}},
            )
    rows = list(range(len(nodes)))
    figure.update_layout(barmode="overlay", xaxis={"title": "hours", "rangemode": "tozero"})
    names = [html.escape(node) for node in nodes]
    axis = {"tickmode": "array", "tickvals": rows, "ticktext": names, "range": [len(nodes) - 0.5, -0.5]}
    return _sized(figure, axis, len(nodes))


def _lanes(blocks: Sequence[_Block]) -> list[int]:
    """The first lane that is free when each begins; blocks in order of their start."""
    free_s: list[int] = []
    lanes: list[int] = []
    for block in blocks:
        lane = next((k for k, until_s in enumerate(free_s) if until_s <= block.start_s), len(free_s))
        if lane == len(free_s):
            free_s.append(0)
        free_s[lane] = block.end_s
        lanes.append(lane)
    return lanes


def _front(answer: Answer) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(
        mode="lines+markers",
        x=[point.completion_s / 3600 for point in answer.front],
        y=[point.cost_usd for point in answer.front],
        line={"shape": "vh", "color": COLOURS[0]},
        marker={"size": 8},
        hovertext=[
            f"${point.cost_usd:,.2f}, done after {duration(point.completion_s)}, value {point.value:.4g}"
            for point in answer.front
        ],
        hoverinfo="text",
    )
    axis = {"title": "US dollars"}
    figure.update_layout(
        height=300, showlegend=False, xaxis={"title": "hours until the last ends"}, yaxis=axis
    )
    return styled(figure)


def _with_nodes(figure: go.Figure, nodes: Sequence[str]) -> go.Figure:
    names = [html.escape(node) for node in nodes]
    return _sized(
        figure,
        {"categoryorder": "array", "categoryarray": names[::-1], "range": [-0.5, len(nodes) - 0.5]},
        len(nodes),
    )


def _sized(figure: go.Figure, axis: Mapping[str, object], rows: int) -> go.Figure:
    figure.update_layout(
        height=70 + ROW_PX * max(rows, 2),
        yaxis={**axis, "automargin": True, "title": None},
        showlegend=False,
        bargap=0.2,
    )
    return styled(figure)


def _facts(answer: Answer) -> list[str]:
    facts = [
        f"By {answer.solver}: {answer.status.value}; its own bound leaves a gap of {100 * answer.gap:.2g}%.",
        f"${answer.cost_usd:,.2f} in all; the last ends after {duration(answer.completion_s)}.",
    ]
    return facts + ([f"Left out: {', '.join(answer.left_out)}."] if answer.left_out else [])


def _summary(answer: Answer) -> str:
    rows = [
        [
            one.gang,
            ", ".join(one.nodes),
            duration(one.start_s),
            duration(one.end_s),
            f"${one.cost_usd:,.2f}",
        ]
        for one in sorted(answer.assignments, key=lambda a: (a.start_s, a.gang))
    ]
    return table(("Workload", "Nodes", "From", "To", "Cost"), rows)
