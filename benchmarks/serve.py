"""`make bench-serve`: models as a service, measured for real: the gateway's data path, admission, a service's life, a
load that grows fourfold, and what the simulator foretells.

    make bench-serve [ARGS="gateway step"] [ARGS="--short step"]

Figures go to `results/serve.json`, each section with the command that made it, and are drawn in `results/serve.svg`.
Named sections are measured again and replace their own. `--short` tries them in a fraction of the time, and writes
nothing. What Suanli is measured beside is installed into `.venv-peers` first (`peers.py`).
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import serve_admission
import serve_cells
import serve_gateway
import serve_lifecycle
import serve_step
from run import RESULTS, Row, measured
from serve_drawing import draw

FILE = RESULTS / "serve.json"
SOAK = 1_000_000
"""Requests over which the gateway's memory is watched."""

More = dict[str, Any]
"""What a section has beside its rows: curves, and figures over all rows."""


def gateway(short: bool, more: More) -> Iterator[Row]:
    yield from serve_gateway.measure()
    if not short:
        yield {**serve_gateway.soak(SOAK), "what": "suanli, soak"}


def admission(short: bool, more: More) -> Iterator[Row]:
    yield from serve_admission.measure()


def lifecycle(short: bool, more: More) -> Iterator[Row]:
    told = serve_lifecycle.run(*((100.0, 2.0) if short else (900.0, 15.0)))
    more |= {
        name: told[name] for name in ("answered", "p50_ms", "p99_ms", "max_ms", "length_s", "taken_back")
    }
    for step, failures in told["steps"].items():
        why = "; ".join(f"{count} x {what[:120]}" for what, count in failures.items())
        began_s = round(told["began_s"][step], 1)
        yield {"step": step, "began_s": began_s, "failed": sum(failures.values()), "why": why}


def step(short: bool, more: More) -> Iterator[Row]:
    more["limit_ms"] = 1000 * serve_step.LIMIT_S
    found: dict[str, Row] = {}
    for row in serve_step.measure(serve_step.NAMES, 1.5 if short else 10.0):
        if "series" in row:
            more[f"by five seconds, {row['what']}"] = json.loads(str(row.pop("series")))
            found[str(row["what"])] = row
        yield row
    more["percent of ray-serve's"] = {
        name: {of: _percent(row[of], found["ray-serve"][of]) for of in ("violation_s", "replica_hours")}
        for name, row in found.items()
    }


def _percent(value: Any, whole: Any) -> float:
    return round(100 * value / whole, 1) if whole else 0.0


def cells(short: bool, more: More) -> Iterator[Row]:
    told = serve_cells.cells(short)
    yield from told.pop("cells")
    more |= told


SECTIONS: dict[str, Callable[[bool, More], Iterator[Row]]] = {
    "gateway": gateway,
    "admission": admission,
    "lifecycle": lifecycle,
    "step": step,
    "cells": cells,
}


def main() -> int:
    asked = _arguments()
    known = {} if asked.short or not FILE.exists() else json.loads(FILE.read_text())
    for name in asked.sections or SECTIONS:
        print(f"\n{name}: serve_{name}", file=sys.stderr)
        more: More = {}
        told = measured(
            f"make bench-serve ARGS={name}", lambda name=name, more=more: SECTIONS[name](asked.short, more)
        )
        known[name] = {**told, **more}
        if not asked.short:
            _keep(known)
    if asked.short:
        print(draw(known, Path(tempfile.gettempdir()) / "serve-short.svg"))
    return 0


def _keep(known: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    FILE.write_text(json.dumps({name: known[name] for name in SECTIONS if name in known}, indent=1) + "\n")
    draw(known, FILE.with_suffix(".svg"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="in a fraction of the time; writes nothing")
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
