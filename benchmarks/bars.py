"""Horizontal bars as an SVG that any viewer shows: panels in two columns, each with a title, a unit and marks."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import msgspec

WIDTH = 1180
COLUMN = 560
LABEL = 225
BAR = 15
ROW = 21
HEAD = 52
COLOURS = {"ours": "#1f6feb", "published": "#8c959f", "other": "#bf8700"}
STYLE = """text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:14px}
.note{fill:#59636e;font-size:11px}.mark{stroke:#cf222e;stroke-width:2}.axis{stroke:#d1d9e0}"""


class Bar(msgspec.Struct, frozen=True):
    """`kind` names its colour; `mark` is a line at a bound or a published value; `begin`: where, if not at the axis."""

    label: str
    value: float
    kind: str = "ours"
    mark: float | None = None
    begin: float | None = None


class Panel(msgspec.Struct, frozen=True):
    """Bars on one axis that begins at `zero`."""

    title: str
    note: str
    bars: tuple[Bar, ...]
    zero: float = 0.0


def write(path: Path, panels: Sequence[Panel]) -> Path:
    return lay_out(path, [drawn(panel) for panel in panels])


def drawn(panel: Panel) -> tuple[str, float]:
    """As SVG in a column of that width, and how high it is."""
    return _panel(panel), HEAD + ROW * len(panel.bars) + 18.0


def lay_out(path: Path, pieces: Sequence[tuple[str, float]]) -> Path:
    """Pieces and their heights in two columns, the shorter one next."""
    columns: list[list[str]] = [[], []]
    heights = [0.0, 0.0]
    for piece, high in pieces:
        at = heights.index(min(heights))
        columns[at].append(f'<g transform="translate({20 + at * (COLUMN + 20)},{20 + heights[at]})">')
        columns[at].append(piece + "</g>")
        heights[at] += high
    height = max(heights) + 30
    inside = "".join(part for column in columns for part in column)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{inside}</svg>\n',
        encoding="utf-8",
    )
    return path


def _panel(panel: Panel) -> str:
    ends = [value for bar in panel.bars for value in (bar.value, bar.mark) if value is not None]
    most = max([*ends, panel.zero + 1e-12]) - panel.zero
    scale = (COLUMN - LABEL - 70) / most
    parts = [
        f'<text class="title" y="12">{escape(panel.title)}</text>',
        f'<text class="note" y="30">{escape(panel.note)}</text>',
        (
            f'<line class="axis" x1="{LABEL}" x2="{LABEL}" y1="{HEAD - 14}" '
            f'y2="{HEAD - 10 + ROW * len(panel.bars)}"/>'
        ),
    ]
    for i, bar in enumerate(panel.bars):
        y, length = HEAD - 10 + i * ROW, max(0.0, (bar.value - panel.zero) * scale)
        parts.append(f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(bar.label)}</text>')
        before = max(0.0, (bar.begin - panel.zero) * scale) if bar.begin is not None else 0.0
        parts.append(
            f'<rect x="{LABEL + before:.4g}" y="{y}" width="{length - before:.1f}" height="{BAR}" '
            f'fill="{COLOURS[bar.kind]}"/>'
        )
        furthest = length
        if bar.mark is not None:
            x = LABEL + (bar.mark - panel.zero) * scale
            furthest = max(length, x - LABEL)
            parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" y2="{y + BAR + 2}"/>')
        parts.append(f'<text x="{LABEL + furthest + 6:.1f}" y="{y + 12}">{bar.value:.4g}</text>')
    return "".join(parts)
