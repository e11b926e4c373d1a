"""Delimited text as columns in which every value knows its line, so that all that is wrong is told at once."""

import csv
import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import polars as pl

from suanli.domain.errors import UsageError
from suanli.spec.problems import Findings, Problem, nearest, shown

ROWS_MAX = 5_000_000


class Sheet(msgspec.Struct, frozen=True):
    """Rows of text by column, their lines counted from 1, and what is wrong with them.

    The rows in `bad` have a mistake somewhere; whoever makes something of the rows leaves them out.
    """

    file: str
    lines: list[int]
    columns: dict[str, list[str]]
    findings: Findings
    bad: set[int] = msgspec.field(default_factory=set[int])

    def good(self) -> Iterator[int]:
        """Indices of the rows without a mistake so far."""
        return (row for row in range(len(self.lines)) if row not in self.bad)

    def refuse(self, row: int, field: str, message: str, remedy: str = "") -> None:
        """Tell a mistake. Raises SpecErrors where there are too many already."""
        self.bad.add(row)
        column = 1 + sum(len(cells[row]) + 1 for cells in self._before(field))
        self.findings.refuse(
            Problem(
                file=self.file,
                line=self.lines[row],
                column=column,
                field=field,
                message=message,
                remedy=remedy,
            )
        )

    def _before(self, field: str) -> list[list[str]]:
        names = list(self.columns)
        return [self.columns[name] for name in names[: names.index(field)]] if field in self.columns else []

    def texts(self, field: str, default: str | None = None) -> list[str]:
        """The column without blanks around; None: every cell must say something. O(rows)."""
        cells = [cell.strip() for cell in self._cells(field)]
        if default is not None:
            return [cell or default for cell in cells]
        for row, cell in enumerate(cells):
            if not cell:
                self.refuse(row, field, "expected a value; got nothing")
        return cells

    def names(self, field: str) -> list[str]:
        """The column as names, each once. O(rows)."""
        cells = self.texts(field)
        first: dict[str, int] = {}
        for row, cell in enumerate(cells):
            if cell and first.setdefault(cell, row) != row:
                message = f"there are two called {cell!r}, the other on line {self.lines[first[cell]]}"
                self.refuse(row, field, message, "Rename one.")
        return cells

    def numbers(
        self,
        field: str,
        *,
        least: float = -math.inf,
        above: float = -math.inf,
        most: float = math.inf,
        whole: bool = False,
        endless: bool = False,
        default: float | None = None,
        blank: Sequence[str] = ("",),
    ) -> list[float]:
        """The column as numbers within bounds; `default` for a `blank` cell, `endless`: `inf` is one, too. O(rows).

        The value of a bad row is nan.
        """
        text = pl.Series(self._cells(field), dtype=pl.String).str.strip_chars()
        number = text.cast(pl.Float64, strict=False)
        fits = (
            number.is_not_null()
            & number.is_not_nan()
            & (number >= least)
            & (number > above)
            & (number <= most)
        )
        if not endless:
            fits &= number.is_finite()
        if whole:
            fits &= number == number.floor()
        empty = text.is_in(list(blank))
        wrong = ~fits.fill_null(False) & (~empty if default is not None else True)
        expected = _expected(least, above, most, whole, endless)
        for row in wrong.arg_true():
            self.refuse(
                row, field, f"expected {expected}; got {shown(text[row]) if text[row] else 'nothing'}"
            )
        values = number.set(empty, default) if default is not None else number
        return values.set(wrong, math.nan).fill_null(math.nan).to_list()

    def instants_s(self, field: str, pattern: str) -> list[float]:
        """The column of dates and times as seconds since the earliest of them, read as they stand. O(rows)."""
        text = pl.Series(self._cells(field), dtype=pl.String).str.strip_chars()
        instants = text.str.to_datetime(pattern, strict=False)
        for row in instants.is_null().arg_true():
            self.refuse(
                row, field, f"expected a date and time such as 2017-10-09 07:01:55; got {shown(text[row])}"
            )
        micro = instants.dt.timestamp("us")
        return ((micro - micro.min()) / 1e6).fill_null(math.nan).to_list()

    def _cells(self, field: str) -> list[str]:
        return self.columns.get(field) or [""] * len(self.lines)


def read_headed(path: Path, findings: Findings, required: Sequence[str]) -> Sheet:
    """A file of comma-separated cells whose first line names the columns, `required` among them. O(characters)."""
    lines, rows = _rows(path, delimiter=",", strict=True)
    header = [cell.strip() for cell in rows[0]] if rows else []
    top = lines[0] if lines else 1
    for name in required:
        if name not in header:
            near = nearest(name, header)
            remedy = (
                f"Is `{near}` that column?" if near else f"The columns are {', '.join(header) or 'none'}."
            )
            findings.refuse(
                Problem(
                    file=str(path), line=top, column=1, message=f"there is no column `{name}`", remedy=remedy
                )
            )
    for name in {name for name in header if header.count(name) > 1}:
        findings.refuse(
            Problem(file=str(path), line=top, column=1, message=f"there are two columns `{name}`")
        )
    return _sheet(str(path), findings, header, lines[1:], rows[1:])


def read_bare(path: Path, findings: Findings, names: Sequence[str]) -> Sheet:
    """A file of tab-separated cells without a header; `names` are its columns in their order. O(characters)."""
    lines, rows = _rows(path, delimiter="\t", quoting=csv.QUOTE_NONE)
    return _sheet(str(path), findings, names, lines, rows)


def _rows(path: Path, **dialect: Any) -> tuple[list[int], list[list[str]]]:
    """Rows and their lines; blank lines are none. Raises UsageError where the file cannot be read at all."""
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        with _open(path) as file:
            reader = csv.reader(file, **dialect)
            for cells in reader:
                if len(cells) > 1 or (cells and cells[0].strip()):
                    lines.append(reader.line_num)
                    rows.append(cells)
                if len(rows) > ROWS_MAX:
                    raise UsageError(f"{path} has more than {ROWS_MAX:,} rows.")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.", remedy="Save it as UTF-8.") from error
    except csv.Error as error:
        after = lines[-1] if lines else 0
        raise UsageError(f"{path} is not delimited text after line {after}: {error}.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return lines, rows


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _sheet(
    file: str, findings: Findings, names: Sequence[str], lines: list[int], rows: list[list[str]]
) -> Sheet:
    """Columns from rows. A row with too many or too few cells is a mistake, and none of the sheet."""
    width = len(names)
    fitting = [row for row, cells in enumerate(rows) if len(cells) == width]
    if len(fitting) < len(rows):
        for line, cells in zip(lines, rows, strict=True):
            if len(cells) != width:
                message = f"expected {width} cells; got {len(cells)}"
                findings.refuse(Problem(file=file, line=line, column=1, message=message))
    columns = zip(*(rows[row] for row in fitting), strict=True) if fitting else ([] for _ in names)
    named = {name: list(cells) for name, cells in zip(names, columns, strict=True)}
    return Sheet(file, [lines[row] for row in fitting], named, findings)


def _expected(least: float, above: float, most: float, whole: bool, endless: bool) -> str:
    kind = "a whole number" if whole else "a number"
    bound = f", at least {least:g}" if math.isfinite(least) else ""
    bound = f" above {above:g}" if math.isfinite(above) else bound
    bound = f" from {least:g} to {most:g}" if math.isfinite(most) else bound
    return f"{kind}{bound}{' or inf' if endless else ''}"
