"""`make bench-decide`: how well and how fast Suanli decides, beside what others published, in one run.

    make bench-decide [ARGS="--data DIR gavel eta"]

Figures go to `results/decide.json`, each section with the command that made it, and are drawn in `results/decide.svg`.
Named sections are measured again and replace their own. What is published lies outside the repository: DIR (default:
`$SUANLI_DATA`, else `../shared/data`) has the folders `gavel`, `openb`, `philly` as their authors publish them; a
section whose data are not there is left out, and says so.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import decide_eta
import decide_gavel
import decide_openb
import decide_scale
import decide_sim
import decide_solvers
from decide_drawing import draw
from run import RESULTS, Row, measured

ROOT = Path(__file__).parents[1]
FILE = RESULTS / "decide.json"

SECTIONS: dict[str, tuple[str, Callable[[Path], Iterable[Row]]]] = {
    "solvers": ("", lambda _: decide_solvers.measure()),
    "scale": ("", lambda _: decide_scale.measure()),
    "gavel": ("gavel", decide_gavel.measure),
    "simulator": ("philly", decide_sim.measure),
    "eta": ("", lambda _: decide_eta.measure()),
    "openb": ("openb", decide_openb.measure),
}
"""By name: the folder of data that it needs, and what it measures there."""


def main() -> int:
    asked = _arguments()
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in asked.sections or SECTIONS:
        folder, measure = SECTIONS[name]
        print(f"\n{name}: {measure.__module__}", file=sys.stderr)
        if folder and not (asked.data / folder).is_dir():
            print(
                f"left out: {asked.data / folder} is not there (--data DIR, or SUANLI_DATA)", file=sys.stderr
            )
            continue
        known[name] = measured(f"make bench-decide ARGS={name}", partial(measure, asked.data))
        RESULTS.mkdir(exist_ok=True)
        FILE.write_text(
            json.dumps({name: known[name] for name in SECTIONS if name in known}, indent=1) + "\n"
        )
    draw(known, FILE.with_suffix(".svg"))
    return 0


def _arguments() -> argparse.Namespace:
    default = Path(os.environ.get("SUANLI_DATA", ROOT.parent / "shared/data"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
