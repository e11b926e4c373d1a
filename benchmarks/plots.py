"""Lines over time and points against each other, as SVG of a column of `bars.py`."""

import math
from collections.abc import Callable, Sequence
from html import escape

import msgspec
from bars import COLUMN, HEAD

LEFT, HIGH = 46, 150
At = Callable[[float, float], tuple[float, float]]
"""Where values are drawn."""


class Line(msgspec.Struct, frozen=True):
    """`y` may have gaps (None); values above the plot's `most` are drawn at its edge."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    ink: str
    points: bool = False


class Plot(msgspec.Struct, frozen=True):
    """`level`: a line at a limit; `least`, `most`: of the axis, where not what the lines say; `diagonal`: where both
    are equal."""

    title: str
    note: str
    lines: tuple[Line, ...]
    level: float | None = None
    least: float = 0.0
    most: float | None = None
    diagonal: bool = False


def drawn(plot: Plot) -> tuple[str, float]:
    """As SVG, and how high it is."""
    xs = [x for line in plot.lines for x in line.x]
    ys = [y for line in plot.lines for y in line.y if y is not None]
    left = plot.least if plot.diagonal else 0.0
    right = max([*xs, left + 1e-9])
    most = plot.most or max([*ys, plot.level or 0.0, plot.least + 1e-9]) * (1.0 if plot.diagonal else 1.08)
    wide = COLUMN - LEFT - 20

    def at(x: float, y: float) -> tuple[float, float]:
        up = (min(max(y, plot.least), most) - plot.least) / (most - plot.least)
        return LEFT + wide * (x - left) / (right - left), HEAD + HIGH * (1.0 - up)

    parts = [
        f'<text class="title" y="12">{escape(plot.title)}</text>',
        f'<text class="note" y="30">{escape(plot.note)}</text>',
        *_axis(at, (left, right), (plot.least, most)),
    ]
    if plot.level is not None:
        parts.append(_straight("mark", at(left, plot.level), at(right, plot.level)))
    if plot.diagonal:
        end = min(right, most)
        parts.append(_straight("axis", at(left, left), at(end, end)))
    for number, line in enumerate(plot.lines):
        parts.append(_line(line, at))
        y = HEAD - 4 + 15 * number
        if len(plot.lines) > 1:
            parts.append(f'<text x="{COLUMN - 24}" y="{y}" text-anchor="end" style="fill:{line.ink}">')
            parts.append(f"{escape(line.label)}</text>")
    return "".join(parts), HEAD + HIGH + 44.0


def _axis(at: At, across: tuple[float, float], up: tuple[float, float]) -> list[str]:
    parts: list[str] = []
    for value in _ticks(*up):
        _, y = at(across[0], value)
        parts.append(_straight("axis", (LEFT, y), at(across[1], value)))
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(*across):
        x, _ = at(value, up[0])
        parts.append(f'<text x="{x:.1f}" y="{HEAD + HIGH + 16}" text-anchor="middle">{value:g}</text>')
    return parts


def _line(line: Line, at: At) -> str:
    known = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None]
    if line.points:
        return "".join(
            '<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>'.format(*at(x, y), line.ink) for x, y in known
        )
    pen, words = "M", []
    for x, y in zip(line.x, line.y, strict=True):
        if y is None:
            pen = "M"
            continue
        words.append("{}{:.1f},{:.1f}".format(pen, *at(x, y)))
        pen = "L"
    return f'<path d="{"".join(words)}" fill="none" stroke="{line.ink}" stroke-width="1.6"/>'


def _straight(kind: str, begin: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = begin, end
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _ticks(least: float, most: float) -> list[float]:
    """Three to seven round values between them."""
    size = 10.0 ** math.floor(math.log10((most - least) / 3))
    step = max(size * times for times in (1, 2, 5) if (most - least) / (size * times) >= 3)
    first, last = math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
