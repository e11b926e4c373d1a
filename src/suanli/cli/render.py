"""Tables: with colours on a terminal, as plain columns elsewhere; the same columns in both."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from suanli.cli.session import Session

STYLES: Mapping[str, str] = {
    "running": "green",
    "ready": "green",
    "succeeded": "green",
    "ok": "green",
    "starting": "cyan",
    "stopping": "cyan",
    "waiting": "yellow",
    "pending": "yellow",
    "held": "yellow",
    "warn": "yellow",
    "cordoned": "yellow",
    "draining": "yellow",
    "not seen yet": "yellow",
    "failed": "red",
    "fail": "red",
    "firing": "red",
    "down": "red",
    "stopped": "dim",
    "resolved": "dim",
}
"""By the first words of a cell."""


@dataclass(frozen=True)
class Table:
    """Columns and rows of text. `title` stands above; `empty` is said where there are no rows.

    `changing` names columns that change all the time, which makes no row news.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    empty: str = ""
    changing: Sequence[str] = ()

    def steady(self, row: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            cell for column, cell in zip(self.columns, row, strict=True) if column not in self.changing
        )

    def print(self, session: "Session") -> None:
        if session.is_terminal:
            console_of(session).print(self.drawn())
        else:
            sys.stdout.write(self.plain())

    def plain(self) -> str:
        """Columns two spaces apart, nothing cut off."""
        if not self.rows and self.empty:
            return self.empty + "\n"
        lines = [list(self.columns), *([clean(cell) for cell in row] for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        text = "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
        )
        return f"{self.title}\n{text}\n" if self.title else text + "\n"

    def drawn(self) -> "RenderableType":
        """The same for a terminal of any width: the last column, which holds sentences, folds."""
        from rich.table import Table as RichTable
        from rich.text import Text

        if not self.rows and self.empty:
            return Text(self.empty)
        table = RichTable(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", title_justify="left"
        )
        table.title = Text(self.title, "bold") if self.title else None
        for i, column in enumerate(self.columns):
            last = i == len(self.columns) - 1
            table.add_column(column, overflow="fold", no_wrap=not last)
        for row in self.rows:
            table.add_row(*(Text(clean(cell), STYLES.get(cell, "")) for cell in row))
        return table


def console_of(session: "Session", *, stderr: bool = False) -> "Console":
    from rich.console import Console

    return Console(no_color=not session.colors, stderr=stderr, highlight=False)


def clean(text: str) -> str:
    """Without control characters, so that no name or message can write to a terminal what it likes."""
    return "".join(c if c.isprintable() else " " for c in text)


def clock(at_s: float | None) -> str:
    """Time of day here, with the date where it is another day."""
    if at_s is None:
        return ""
    at, today = time.localtime(at_s), time.localtime()
    same_day = (at.tm_year, at.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S", at)


def percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.0%}"


def money(amount: float | None) -> str:
    return "" if amount is None else f"${amount:.4f}" if 0 < abs(amount) < 0.1 else f"${amount:.2f}"


def listed(names: Iterable[Any], most: int = 4) -> str:
    """`a, b, c, d and 12 more`."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
