"""Our own CSV: all that a simulation can be told of workloads. `docs/reference/traces.md` describes it."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suanli.domain.workload import Kind
from suanli.spec.problems import Findings, Problem, nearest
from suanli.traces.accelerators import models_in
from suanli.traces.context import Context
from suanli.traces.sheet import Sheet, read_headed
from suanli.traces.table import ANY, Row, Table, table_of

REQUIRED = ("name", "at_s", "work")
_KINDS = {"train": Kind.TRAIN, "job": Kind.JOB}
_YES_NO = {"yes": True, "no": False}


def read_own(path: Path, findings: Findings, context: Context) -> Table:
    """Rows of our CSV; a column that is not there, or an empty cell, means the default. O(rows · log rows)."""
    sheet = read_headed(path, findings, REQUIRED)
    _refuse_unknown(sheet)
    columns = {field: read(sheet, field) for field, (read, _) in COLUMNS.items()}
    rows = [
        _row({field: cells[row] for field, cells in columns.items()}, sheet, row, context)
        for row in sheet.good()
    ]
    return table_of(path.stem, rows)


def write_own(table: Table, path: Path) -> None:
    """Write the rows as our CSV, all columns, numbers so that they read back the same. O(rows)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([write(row) for _, write in COLUMNS.values()] for row in table.rows)


def _numbers(**bounds: Any) -> Callable[[Sheet, str], list[Any]]:
    return lambda sheet, field: sheet.numbers(field, **bounds)


def _whole(default: int, least: int = 0) -> Callable[[Sheet, str], list[Any]]:
    return _numbers(least=least, whole=True, default=default)


def _words(default: str) -> Callable[[Sheet, str], list[str]]:
    return lambda sheet, field: sheet.texts(field, default)


def _choice(options: dict[str, Any], default: str) -> Callable[[Sheet, str], list[Any]]:
    def read(sheet: Sheet, field: str) -> list[Any]:
        cells = sheet.texts(field, default)
        for row, cell in enumerate(cells):
            if cell not in options:
                sheet.refuse(row, field, f"expected {' or '.join(options)}; got {cell!r}")
        return [options.get(cell) for cell in cells]

    return read


def _perhaps(value: float | None) -> str:
    return "" if value is None else _plain(value)


def _plain(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))


_MAYBE = _numbers(above=0, default=math.nan)


def _count(row: Row) -> str:
    return _plain(row.accelerators_per_node) if row.accelerators else ""


COLUMNS: dict[str, tuple[Callable[[Sheet, str], list[Any]], Callable[[Row], object]]] = {
    "name": (Sheet.names, lambda row: row.name),
    "at_s": (_numbers(least=0), lambda row: _plain(row.at_s)),
    "work": (_numbers(above=0, endless=True), lambda row: _plain(row.work)),
    "kind": (_choice(_KINDS, "train"), lambda row: row.kind.value),
    "program": (_words(""), lambda row: row.program),
    "team": (_words("default"), lambda row: row.team),
    "priority": (_numbers(least=0, most=100, whole=True, default=50), lambda row: row.priority),
    "preemptible": (_choice(_YES_NO, "yes"), lambda row: "yes" if row.preemptible else "no"),
    "nodes": (_whole(1, 1), lambda row: row.nodes),
    "nodes_min": (
        _numbers(least=1, whole=True, default=math.nan),
        lambda row: row.elastic_nodes[0] if row.elastic_nodes else "",
    ),
    "nodes_max": (
        _numbers(least=1, whole=True, default=math.nan),
        lambda row: row.elastic_nodes[1] if row.elastic_nodes else "",
    ),
    "accelerators": (_words(""), lambda row: "|".join(row.accelerators)),
    "indifferent": (_choice(_YES_NO, "no"), lambda row: "yes" if row.indifferent else "no"),
    "accelerators_per_node": (_numbers(above=0, default=math.nan), _count),
    "cpus": (_numbers(least=0, default=0), lambda row: _plain(row.cpus)),
    "memory_bytes": (_whole(0), lambda row: row.memory_bytes),
    "speeds": (_words(""), lambda row: "|".join(f"{m}={_plain(v)}" for m, v in row.speeds.items())),
    "duration_s": (_MAYBE, lambda row: _perhaps(row.duration_s)),
    "deadline_s": (_MAYBE, lambda row: _perhaps(row.deadline_s)),
    "checkpoint_every_s": (_MAYBE, lambda row: _perhaps(row.checkpoint_every_s)),
}
"""By name: how the column is read, and how a row writes it."""


def _refuse_unknown(sheet: Sheet) -> None:
    for name in sheet.columns:
        if name not in COLUMNS:
            near = nearest(name, COLUMNS)
            remedy = f"Did you mean `{near}`?" if near else f"The columns are {', '.join(COLUMNS)}."
            message = f"there is no column `{name}`"
            sheet.findings.refuse(Problem(file=sheet.file, line=1, column=1, message=message, remedy=remedy))


def _row(cells: dict[str, Any], sheet: Sheet, row: int, context: Context) -> Row:
    """One row of cells that are each right; what doesn't go together among them is told."""
    names = [name.strip() for name in cells["accelerators"].split("|") if name.strip()]
    speeds = _speeds(cells["speeds"], sheet, row, context)
    return Row(
        name=cells["name"],
        at_s=cells["at_s"],
        work=cells["work"],
        kind=cells["kind"],
        program=cells["program"],
        team=cells["team"],
        priority=int(cells["priority"]),
        preemptible=cells["preemptible"],
        nodes=int(cells["nodes"]),
        elastic_nodes=_elastic(cells, sheet, row),
        accelerators=(ANY,)
        if names == [ANY]
        else models_in(sheet, row, "accelerators", names, context.models),
        indifferent=cells["indifferent"],
        accelerators_per_node=_per_node(cells["accelerators_per_node"], bool(names), sheet, row),
        cpus=cells["cpus"],
        memory_bytes=int(cells["memory_bytes"]),
        speeds=speeds,
        duration_s=_or_none(cells["duration_s"]),
        deadline_s=_or_none(cells["deadline_s"]),
        checkpoint_every_s=_or_none(cells["checkpoint_every_s"]),
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _elastic(cells: dict[str, Any], sheet: Sheet, row: int) -> tuple[int, int] | None:
    least, most = cells["nodes_min"], cells["nodes_max"]
    if math.isnan(least) and math.isnan(most):
        return None
    if not least <= cells["nodes"] <= most:
        message = "an elastic gang has both `nodes_min` and `nodes_max`, with `nodes` between them"
        sheet.refuse(row, "nodes_min", message)
        return None
    return int(least), int(most)


def _per_node(count: float, asked: bool, sheet: Sheet, row: int) -> float:
    if not asked:
        if not math.isnan(count):
            message = f"{count:g} accelerators are asked for, and none is named"
            sheet.refuse(
                row, "accelerators_per_node", message, f"Say which, or `{ANY}` for any, in `accelerators`."
            )
        return 0.0
    if math.isnan(count):
        return 1.0
    if count > 1 and count != int(count):
        sheet.refuse(
            row, "accelerators_per_node", f"expected whole accelerators, or a share of one; got {count:g}"
        )
    return count


def _speeds(text: str, sheet: Sheet, row: int, context: Context) -> dict[str, float]:
    """`V100-16GB=12.5|K80=2` by model."""
    speeds: dict[str, float] = {}
    for part in filter(None, text.split("|")):
        name, _, number = part.partition("=")
        try:
            speed = float(number)
        except ValueError:
            speed = math.nan
        if not 0 < speed < math.inf:
            sheet.refuse(row, "speeds", f"expected MODEL=UNITS_A_SECOND, such as K80=2.5; got {part!r}")
        for model in models_in(sheet, row, "speeds", [name.strip()], context.models):
            speeds[model] = speed
    return speeds
