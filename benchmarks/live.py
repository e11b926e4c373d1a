"""How quick the running thing is: the command line, a start on an idle local Ray, a cycle with nothing to do, and
a gang whose node dies.

    help            `suanli --help`, wall time of the whole process
    start           submitted to the store -> its process writes its first line, on an embedded Ray that idles
    idle cycle      observe, decide, record nothing; one service running
    node lost       SIGKILL to a raylet under a gang of four -> seen lost, -> its workers elsewhere
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration" / "control"))

from gangs import FLEET, controller, counting_gang, emulated_cluster, kill_raylet, node, submit, until

from suanli.control.controller import Controller
from suanli.domain.fleet import Fleet
from suanli.domain.observation import Phase
from suanli.domain.record import Status
from suanli.domain.workload import Kind, Workload
from suanli.engine.ray.cluster import start_or_adopt, stop

STARTS = 7
IDLE_CYCLES = 100
HELPS = 9

Row = dict[str, str | int | float]


def measure() -> Iterator[Row]:
    """One row for each measurement: median and worst, in seconds, with the bound that the project sets itself."""
    yield _row("suanli --help", [_help_s() for _ in range(HELPS)], 0.3)
    with tempfile.TemporaryDirectory() as folder:
        yield from _one_node(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        yield from _node_lost(Path(folder))


def _row(what: str, times_s: list[float], bound_s: float) -> Row:
    median_s, worst_s = statistics.median(times_s), max(times_s)
    return {"what": what, "n": len(times_s), "median_s": median_s, "worst_s": worst_s, "bound_s": bound_s}


def _help_s() -> float:
    started_s = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("suanli")), "--help"], check=True, capture_output=True)
    return time.perf_counter() - started_s


def _one_node(folder: Path) -> Iterator[Row]:
    here = node("local", "L4")
    fleet = Fleet(name="one", nodes=(here,))
    handle = start_or_adopt(folder / "ray", here)
    try:
        with controller(folder, handle, fleet) as running:
            until(lambda: running.seen.nodes, 60)
            yield _row(
                "submit to process running", [_start_s(running, folder, i) for i in range(STARTS)], 2.0
            )
            submit(running, _sleeper("stays", "600"))
            until(lambda: _status(running, "stays") is Status.RUNNING, 30)
            with running.mutex:
                yield _row("cycle with nothing to do", [_cycle_s(running) for _ in range(IDLE_CYCLES)], 0.020)
    finally:
        stop(handle)


def _start_s(running: Controller, folder: Path, i: int) -> float:
    name, mark = f"start-{i}", folder / f"started-{i}"
    script = f"import pathlib; pathlib.Path({str(mark)!r}).touch()"
    started_s = time.perf_counter()
    submit(running, Workload(name=name, kind=Kind.JOB, run=(sys.executable, "-S", "-c", script), workdir="/"))
    until(mark.exists, 60)
    took_s = time.perf_counter() - started_s
    until(lambda: _status(running, name) is Status.SUCCEEDED, 60)
    return took_s


def _sleeper(name: str, seconds: str) -> Workload:
    return Workload(name=name, kind=Kind.JOB, run=("sleep", seconds), workdir="/", grace_s=1.0)


def _cycle_s(running: Controller) -> float:
    started_s = time.perf_counter()
    running.cycle()
    return time.perf_counter() - started_s


def _node_lost(folder: Path) -> Iterator[Row]:
    with emulated_cluster(folder / "ray") as handle, controller(folder, handle) as running:
        until(lambda: len(running.seen.nodes) == len(FLEET.nodes), 60)
        submit(running, counting_gang("gang", steps=100_000))
        until(lambda: _status(running, "gang") is Status.RUNNING, 60)
        view = next(view for view in running.seen.attempts if view.key == "gang")
        killed_s = time.perf_counter()
        kill_raylet(handle, view.workers[1].node)
        until(lambda: _phase(running) is Phase.LOST, 60)
        noticed_s = time.perf_counter() - killed_s
        until(lambda: _attempt_running(running, 2), 90)
        yield _row("raylet killed to noticed", [noticed_s], 3.0)
        yield _row("raylet killed to gang running elsewhere", [time.perf_counter() - killed_s], 15.0)


def _phase(running: Controller) -> Phase | None:
    return next((view.phase for view in running.seen.attempts if view.key == "gang"), None)


def _attempt_running(running: Controller, number: int) -> bool:
    record = running.world.records["gang"]
    return record.status is Status.RUNNING and record.attempts_made == number


def _status(running: Controller, name: str) -> Status | None:
    record = running.world.records.get(name)
    return record.status if record else None
