"""What `make bench-decide` measured, as one picture."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bars import Bar, Panel, write

Rows = Sequence[Mapping[str, Any]]

OURS = {"shortest-remaining", "least-served", "soonest-end"}
SCALE_TARGETS_S = {("max-min", 10_000): 0.05, ("max-min", 100_000): 0.5, ("hierarchical", 2_048): 1.0}


def draw(known: Mapping[str, Any], path: Path) -> Path:
    """One panel or two for each section that was measured."""
    rows = {name: section["rows"] for name, section in known.items()}
    panels: list[Panel] = []
    if "openb" in rows:
        panels.append(_openb(rows["openb"]))
    if "gavel" in rows:
        panels += [_gavel(rows["gavel"], trace) for trace in ("max_min_fairness", "minimize_makespan")]
    if "solvers" in rows:
        panels.append(_solvers(rows["solvers"]))
    if "scale" in rows:
        panels.append(_scale(rows["scale"]))
    if "simulator" in rows:
        panels.append(_simulator(rows["simulator"]))
    if "eta" in rows:
        panels.append(_eta(rows["eta"]))
    return write(path, panels)


def _openb(rows: Rows) -> Panel:
    ours = [row for row in rows if row.get("policy") == "leftovers"]
    return Panel(
        "openb at 130 % demand: GPUs left unallocated by `leftovers`",
        "in percent of what published FGD leaves (mark); mean of ten seeds, published orders",
        tuple(Bar(row["trace"], 100 * row["of_fgd"], "ours", 100.0) for row in ours),
    )


def _gavel(rows: Rows, trace: str) -> Panel:
    mine = [row for row in rows if row["trace"] == trace and row["restart_s"] == 0]
    bound = next(row["jct_h"] for row in mine if row["policy"] == "no policy can")
    policies = sorted((row for row in mine if row["told"] != "everything"), key=lambda row: row["jct_h"])
    bars = tuple(
        Bar(
            f"{row['policy']}{' *' if row['told'] == 'work left' else ''}",
            row["jct_h"],
            "ours" if row["policy"] in OURS else "published",
            row.get("jct_published_h"),
        )
        for row in policies
        if row["jct_h"] < 20
    )
    note = f"hours; mark: as published; * is told the work left; no policy can beat {bound} h; above 20 h left out"
    return Panel(f"Gavel, {trace}: mean completion time", note, bars)


def _solvers(rows: Rows) -> Panel:
    gaps: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        gaps[row["objective"], row["solver"]].append(row["best_gap_pct"])
    bars = tuple(
        Bar(f"{solver}, {objective}", float(np.mean(gap)), "ours" if solver == "mip" else "other")
        for (objective, solver), gap in gaps.items()
    )
    return Panel("Solvers: 100 gangs on 64 nodes of 8", "gap to the best proved bound, percent", bars)


def _scale(rows: Rows) -> Panel:
    bars = tuple(
        Bar(
            f"{row['problem']}, {row['jobs']:,}",
            1e3 * row["cpu_s"],
            "ours",
            1e3 * SCALE_TARGETS_S.get((row["problem"], row["jobs"]), 1.0)
            if row["cpu_s"] > 0.25 * SCALE_TARGETS_S.get((row["problem"], row["jobs"]), 1.0)
            else None,
        )
        for row in rows
    )
    return Panel("Allocating anew", "CPU milliseconds; mark: the target, where it is near", bars)


def _simulator(rows: Rows) -> Panel:
    bars = tuple(
        Bar(f"{row['jobs']:,} jobs, {row['nodes']} nodes", row["ms_per_job"], "ours")
        for row in rows
        if row["run"] in ("trace", "fleet")
    )
    return Panel("Simulating Philly under srtf", "CPU milliseconds for each job", bars)


def _eta(rows: Rows) -> Panel:
    bars = tuple(Bar(row["policy"], row["in_band_pct"], "ours", 80.0) for row in rows)
    return Panel("True starts inside the 80 % band", "percent of those asked about", bars)
