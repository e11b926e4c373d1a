"""`read("gavel:PATH")`: a trace in any of the formats."""

from collections.abc import Callable
from pathlib import Path

from suanli.domain.errors import UsageError
from suanli.spec.problems import Findings, nearest
from suanli.traces.context import Context
from suanli.traces.deadlines import read_chronus, read_elasticflow
from suanli.traces.gavel import read_gavel, read_shockwave
from suanli.traces.openb import read_openb
from suanli.traces.own import read_own
from suanli.traces.philly import read_philly
from suanli.traces.table import Table

FORMATS: dict[str, Callable[[Path, Findings, Context], Table]] = {
    "gavel": read_gavel,
    "openb": read_openb,
    "philly": read_philly,
    "shockwave": read_shockwave,
    "elasticflow": read_elasticflow,
    "chronus": read_chronus,
    "csv": read_own,
}


def read(text: str, context: Context | None = None) -> Table:
    """The trace `FORMAT:PATH`; without a format, a file of our own CSV.

    Raises SpecErrors with every bad row of every file, UsageError where there is nothing to read.
    """
    name, colon, place = text.partition(":")
    if colon and name not in FORMATS and not Path(text).exists():
        near = nearest(name, FORMATS)
        known = f"Did you mean {near}?" if near else f"The formats are {', '.join(FORMATS)}."
        raise UsageError(f"There is no trace format {name!r}.", remedy=known)
    reader, path = (FORMATS[name], Path(place)) if name in FORMATS and colon else (read_own, Path(text))
    findings = Findings((str(path),))
    table = reader(path, findings, context or Context())
    if findings.problems:
        raise findings.errors()
    if not table.rows:
        raise UsageError(f"{path} has no workloads.")
    return table
