"""Gavel's traces: training jobs by type, steps and gang size, with speeds from a table of throughputs.

Source of the format: stanford-futuredata/gavel, `scheduler/utils.py`. Shockwave's has two columns more.
"""

from pathlib import Path

from suanli.domain.errors import UsageError
from suanli.spec.problems import Findings
from suanli.traces.context import Context
from suanli.traces.sheet import Sheet, read_bare
from suanli.traces.table import Row, Table, table_of
from suanli.traces.throughputs import Speeds, gavel_speeds

_FIRST = ("job type", "command", "working directory", "steps argument", "needs data directory", "total steps")
COLUMNS = (*_FIRST, "scale factor", "priority weight", "SLO", "arrival")
SHOCKWAVE_COLUMNS = (*_FIRST, "scale factor", "mode", "priority weight", "SLO", "duration", "arrival")

_REFERENCE = "V100-16GB"
"""The accelerator whose durations Gavel's SLO factors multiply."""


def read_gavel(path: Path, findings: Findings, context: Context) -> Table:
    """Jobs of `scale factor` nodes with one accelerator each. Raises UsageError without throughputs. O(rows)."""
    if context.throughputs is None:
        raise UsageError(
            "A Gavel trace counts work in steps, and how fast those go is not in it.",
            remedy="Give the table of throughputs that belongs to it with `--throughputs FILE`.",
        )
    sheet = read_bare(path, findings, COLUMNS)
    rows = _rows(sheet, gavel_speeds(context.throughputs))
    return table_of(path.stem, rows, notes=_weights(sheet))


def read_shockwave(path: Path, findings: Findings, context: Context) -> Table:
    """The same of Shockwave; without throughputs, the duration alone on its accelerators is the work. O(rows)."""
    sheet = read_bare(path, findings, SHOCKWAVE_COLUMNS)
    speeds = gavel_speeds(context.throughputs) if context.throughputs else None
    changing = sum(mode != "static" for mode in sheet.texts("mode"))
    note = f"{changing} jobs change their batch size as they run; that is not in the file, so they keep their first."
    return table_of(path.stem, _rows(sheet, speeds), notes=[*_weights(sheet), *([note] if changing else [])])


def _rows(sheet: Sheet, speeds: Speeds | None) -> list[Row]:
    types = sheet.texts("job type")
    steps = sheet.numbers("total steps", least=1, whole=True)
    scales = sheet.numbers("scale factor", least=1, whole=True)
    factors = sheet.numbers("SLO")
    arrivals = sheet.numbers("arrival", least=0)
    durations = sheet.numbers("duration", above=0) if speeds is None else []
    rows: list[Row] = []
    for row in sheet.good():
        measured = {} if speeds is None else _measured(sheet, row, speeds, types[row], int(scales[row]))
        if measured is None:
            continue
        alone_s = (
            steps[row] / measured.get(_REFERENCE, max(measured.values())) if measured else durations[row]
        )
        rows.append(
            Row(
                name=f"job-{row}",
                at_s=arrivals[row],
                work=steps[row] if measured else durations[row],
                program=types[row],
                nodes=int(scales[row]),
                accelerators=tuple(measured) or ("*",),
                accelerators_per_node=1,
                speeds=measured,
                deadline_s=arrivals[row] + factors[row] * alone_s if factors[row] > 0 else None,
            )
        )
    return rows


def _measured(sheet: Sheet, row: int, speeds: Speeds, program: str, scale: int) -> dict[str, float] | None:
    measured = speeds.get((program, scale))
    if measured:
        return measured
    sheet.refuse(row, "job type", f"no accelerator's throughput is known for {program!r} on {scale}")
    return None


def _weights(sheet: Sheet) -> list[str]:
    weights = sheet.numbers("priority weight", above=0)
    other = sum(weights[row] != 1 for row in sheet.good())
    return [f"{other} jobs have a weight other than 1, which no policy here knows."] if other else []
