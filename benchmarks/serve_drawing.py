"""What `make bench-serve` measured, as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bars
import plots
from bars import Bar, Panel
from plots import Line, Plot

INKS = {"suanli": "#1f6feb", "ray-serve": "#bf8700"}
BIN_S = 5.0
P95_MOST_MS = 2000.0


def draw(known: Mapping[str, Any], path: Path) -> Path:
    """Of each section that was measured."""
    drawn: list[tuple[str, float]] = []
    if "step" in known:
        drawn += [plots.drawn(plot) for plot in _step(known["step"])]
        drawn.append(bars.drawn(_violations(known["step"]["rows"])))
    if "gateway" in known:
        drawn.append(bars.drawn(_gateway(known["gateway"]["rows"])))
    if "lifecycle" in known:
        drawn.append(bars.drawn(_lifecycle(known["lifecycle"])))
    if "cells" in known:
        drawn.append(plots.drawn(_cells(known["cells"]["rows"])))
    return bars.lay_out(path, drawn)


def _step(section: Mapping[str, Any]) -> list[Plot]:
    told = {name: section[key] for name in INKS if (key := f"by five seconds, {name}") in section}
    first = next(iter(told.values()))
    at_s = [BIN_S * number for number in range(len(first["per_s"]))]
    asked = Plot(
        "A fourfold load: what was asked",
        "requests/s, over seconds",
        (Line("", at_s, first["per_s"], "#59636e"),),
    )
    return [
        asked,
        Plot("Replicas there", "started or running, over seconds", _lines(told, "replicas")),
        Plot(
            "The 95th percentile of what came",
            f"milliseconds, up to {P95_MOST_MS:g}, over seconds; line: the SLO; a gap where some were not answered",
            _lines(told, "p95_ms"),
            level=section["limit_ms"],
            most=P95_MOST_MS,
        ),
    ]


def _lines(told: Mapping[str, Any], of: str) -> tuple[Line, ...]:
    return tuple(
        Line(name, [BIN_S * number for number in range(len(series[of]))], series[of], INKS[name])
        for name, series in told.items()
    )


def _violations(rows: Sequence[Mapping[str, Any]]) -> Panel:
    found = tuple(
        Bar(
            f"{row['what']}, {row['replica_hours']:.2f} replica-hours", row["violation_s"], _kind(row["what"])
        )
        for row in rows
        if "violation_s" in row
    )
    return Panel(
        "Seconds in which the SLO was missed", "of all; fewer than 95 % of what came within it", found
    )


def _gateway(rows: Sequence[Mapping[str, Any]]) -> Panel:
    found = tuple(Bar(row["what"], row["cpu_ms"], _kind(row["what"])) for row in rows if row.get("cpu_ms"))
    return Panel(
        "What a request costs on the way",
        "CPU milliseconds of the proxy's processes; `+`: and of its replica",
        found,
    )


def _kind(what: str) -> str:
    return "ours" if what.startswith(("suanli", "many")) else "other"


def _lifecycle(section: Mapping[str, Any]) -> Panel:
    rows = section["rows"]
    ends = [*(row["began_s"] for row in rows[1:]), section["length_s"]]
    found = tuple(
        Bar(
            f"{row['step'].partition(', and')[0][:28]}: {row['failed'] or 'none'}",
            end_s,
            "other" if row["failed"] else "ours",
            begin=row["began_s"],
        )
        for row, end_s in zip(rows, ends, strict=True)
    )
    note = f"when, in seconds, and how many requests failed meanwhile; {section['answered']:,} were answered"
    return Panel("A service's life under steady load", note, found)


def _cells(rows: Sequence[Mapping[str, Any]]) -> Plot:
    real, simulated = [100 * row["real"] for row in rows], [100 * row["simulated"] for row in rows]
    least = 5.0 * int(min([*real, *simulated]) / 5.0)
    return Plot(
        "Simulated against real: share within the SLO",
        "percent; across: real, up: simulated with the same arrivals; on the line they are equal",
        (Line("", real, simulated, "#1f6feb", points=True),),
        least=least,
        most=100.0,
        diagonal=True,
    )
