"""`make bench`: all measurements, or those named (`make bench ARGS=kernel`), as tables and as JSON in `results/`.

Times depend on the machine and on what else it does: compare figures of one run with each other, and those of two runs
by `reference_s`, the CPU time of a fixed piece of plain Python before and after.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import kernel_step
import live

RESULTS = Path(__file__).with_name("results")

Row = dict[str, str | int | float]

BENCHMARKS: dict[str, Callable[[], Iterable[Row]]] = {"kernel": kernel_step.measure, "live": live.measure}


def main(names: Sequence[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(
            f"There is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.", file=sys.stderr
        )
        return 2
    for name in names or BENCHMARKS:
        print(f"\n{name}: {(BENCHMARKS[name].__module__)}", file=sys.stderr)
        result = {"benchmark": name, **measured(f"make bench ARGS={name}", BENCHMARKS[name])}
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


def measured(command: str, measure: Callable[[], Iterable[Row]]) -> dict[str, object]:
    """What a benchmark gives, with the command and the machine; each row is told as soon as it is there."""
    before_s, began_s = _reference_s(), time.perf_counter()
    rows = list(_told(measure()))
    machine = {**_machine(), "reference_s": f"{before_s:.3f} to {_reference_s():.3f}"}
    print(f"reference_s: {machine['reference_s']}")
    wall_s = round(time.perf_counter() - began_s, 1)
    return {"command": command, "machine": machine, "wall_s": wall_s, "rows": rows}


def _told(rows: Iterable[Row]) -> Iterable[Row]:
    """Each row as soon as it is there."""
    head: list[str] = []
    for row in rows:
        if list(row) != head:
            head = list(row)
            print("  ".join(f"{name:>12}" for name in head))
        print("  ".join(f"{_shown(value):>12}" for value in row.values()), flush=True)
        yield row


def _shown(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reference_s() -> float:
    """CPU seconds of two million additions, the best of five."""
    best_s = float("inf")
    for _ in range(5):
        start_s, total = time.process_time(), 0
        for i in range(2_000_000):
            total += i
        best_s = min(best_s, time.process_time() - start_s)
    return best_s


def _machine() -> Row:
    return {
        "cpus": os.cpu_count() or 0,
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "ray": version("ray"),
        "measured": time.strftime("%Y-%m"),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
