"""One worker on this machine, without a cluster: real processes, real signals, real limits."""

import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests import ray_clusters as real

from suanli.domain.observation import Launch
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause, Kind, Service, Workload
from suanli.engine import worker_log
from suanli.engine.environment import Rendezvous
from suanli.engine.messages import End, Order, Post, Report, State, Timing
from suanli.engine.shim import boottime_s
from suanli.engine.worker import Worker

DEADLINE_S = 60.0
FENCE_S = 2.0
"""Long enough that a busy machine answers within it."""
ONE_CPU = Share(cpus=1)
DEFAULT_TIMING = Timing()


class Driven:
    """A worker and the loop that a supervisor would run, with a hub that always answers until told not to."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.answers = True
        self.order = Order(go=Rendezvous((("127.0.0.1", 29999),), worker.report().service_port))
        self.over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.over:
            if self.answers:
                self.worker.obey(self.order, boottime_s())
            self.worker.step(0.05)
            time.sleep(0.01)

    def wait(self, what: Callable[[Report], object]) -> Report:
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            report = self.worker.report()
            if what(report):
                return report
            time.sleep(0.01)
        raise AssertionError(f"not within {DEADLINE_S} s: {self.worker.report()}")

    def end(self) -> End:
        end = self.wait(lambda report: report.end).end
        assert end is not None
        return end


Start = Callable[..., Driven]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program given as Python source or argv; whatever still runs at the end is killed."""
    driven: list[Driven] = []

    def run(
        program: str | tuple[str, ...],
        *,
        share: Share = ONE_CPU,
        timing: Timing = DEFAULT_TIMING,
        kind: Kind = Kind.JOB,
        **workload: object,
    ) -> Driven:
        argv = (sys.executable, "-c", program) if isinstance(program, str) else program
        launch = Launch(
            key="try",
            number=1,
            workload=Workload(name="try", kind=kind, run=argv, **workload),  # pyright: ignore[reportArgumentType]
            placements=(Placement("here", share),),
            output_dir=str(tmp_path / "out"),
            log_dir=str(tmp_path / "log"),
        )
        one = Driven(Worker(Post(launch=launch, rank=0, node="here", timing=timing), "127.0.0.1"))
        driven.append(one)
        return one

    yield run
    for one in driven:
        one.answers, one.order = True, Order(kill=True)
        one.end()
        one.over = True
        one.thread.join()


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "log" / "1-0.log").read_text()


def test_a_program_that_ends_well_succeeds_and_its_output_is_in_the_log(start: Start, tmp_path: Path) -> None:
    assert start("print('hello')").end() == End(EndCause.SUCCEEDED, 0)
    assert log_of(tmp_path) == "hello\n"


def test_a_program_that_fails_is_told_by_its_code_and_last_words(start: Start) -> None:
    end = start("import sys; print('no data'); sys.exit(3)").end()
    assert end == End(EndCause.FAILED, 3, "exit code 3; its last words: no data")


def test_a_killed_program_is_told_by_its_signal(start: Start) -> None:
    worker = start("import time; time.sleep(600)")
    os.kill(worker.wait(lambda report: report.pid).pid or 0, signal.SIGKILL)
    assert worker.end() == End(EndCause.KILLED, 137, "killed by SIGKILL")


@pytest.mark.parametrize(
    ("program", "workdir", "sentence"),
    [
        (("no-such-program",), "", "cannot run no-such-program: No such file or directory"),
        (("true",), "/no/such/folder", "cannot enter the workdir /no/such/folder: No such file or directory"),
    ],
)
def test_what_cannot_be_started_says_why(
    start: Start, program: tuple[str, ...], workdir: str, sentence: str
) -> None:
    assert start(program, workdir=workdir).end() == End(EndCause.START_FAILED, None, sentence)


def test_python_is_the_one_suanli_runs_in(start: Start, tmp_path: Path) -> None:
    assert start(("python", "-c", "import sys; print(sys.prefix)")).end().cause is EndCause.SUCCEEDED
    assert log_of(tmp_path).strip() == sys.prefix


def test_sigterm_leaves_the_grace_to_save_work(start: Start, tmp_path: Path) -> None:
    worker = start(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(0)))\n"
        "print('up', flush=True); time.sleep(600)"
    )
    worker.wait(lambda report: report.pid and "up" in log_of(tmp_path))
    worker.order = Order(stop_grace_s=10.0)
    assert worker.end().exit_code == 0
    assert log_of(tmp_path) == "up\nsaved\n"


def test_after_the_grace_the_whole_tree_is_killed_orphans_too(start: Start, tmp_path: Path) -> None:
    worker = start(real.FAMILY)
    pids = real.family_of(tmp_path / "log" / "1-0.log")
    began_s = time.monotonic()
    worker.order = Order(stop_grace_s=0.3)
    worker.end()
    assert time.monotonic() - began_s < DEADLINE_S
    assert not any(real.is_running(pid) for pid in pids)


def test_the_tree_dies_within_the_fence_when_nobody_answers(start: Start, tmp_path: Path) -> None:
    worker = start(real.FAMILY, timing=Timing(fence_s=FENCE_S))
    pids = real.family_of(tmp_path / "log" / "1-0.log")
    began_s = time.monotonic()
    worker.answers = False
    end = worker.end()
    assert end.cause is EndCause.NODE_LOST
    assert time.monotonic() - began_s < DEADLINE_S / 2
    assert not any(real.is_running(pid) for pid in pids)


@pytest.mark.parametrize("generation", [0, 1])
def test_the_tree_dies_whichever_half_of_its_shim_is_killed(
    start: Start, tmp_path: Path, generation: int
) -> None:
    """The outer half is missed only at the end: the guard goes on without it."""
    worker = start(real.FAMILY)
    pids = real.family_of(tmp_path / "log" / "1-0.log")
    psutil.Process(worker.wait(lambda report: report.pid).pid).parents()[generation].kill()
    if generation == 1:
        worker.order = Order(stop_grace_s=0.1)
    assert worker.end().exit_code == 137
    real.wait_for(lambda: not any(real.is_running(pid) for pid in pids))


@pytest.mark.parametrize("with_cgroups", [True, False])
def test_a_death_for_memory_is_explained_by_what_was_asked_and_used(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_cgroups: bool
) -> None:
    if not with_cgroups:
        monkeypatch.setattr(
            "suanli.engine.cgroups._create_v1",
            lambda *_: __import__("suanli.engine.cgroups").engine.cgroups.Groups(),
        )
    worker = start(
        "import os, time\nheld = [b'x' * (105 << 20)]\nwhile not os.path.exists('more'): time.sleep(0.01)\n"
        "while True:\n    held.append(b'x' * (4 << 20)); time.sleep(0.01)",
        share=Share(cpus=1, memory_bytes=128 * 2**20),
    )
    worker.wait(lambda report: report.usage.rss_bytes >= 105 * 2**20)
    (tmp_path / "out" / "more").touch()
    end = worker.end()
    assert end.cause is EndCause.OUT_OF_MEMORY
    told = re.fullmatch(r"it asked for 128 MiB of memory and used (\d+) MiB", end.detail)
    assert told is not None
    assert int(told[1]) >= 100, "what was seen last, a little before or after the limit was crossed"


def test_a_program_gets_no_more_processes_than_it_may_have(start: Start) -> None:
    end = start(
        "import os, sys, time\n"
        "try:\n"
        "    for _ in range(50): os.fork() or time.sleep(600)\n"
        "except BlockingIOError: sys.exit(7)",
        processes_max=10,
    ).end()
    assert end.cause is EndCause.FAILED
    assert end.exit_code == 7 or end.detail.startswith("it may have 10 processes and had")


def test_nothing_of_the_controllers_environment_reaches_the_program(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    start("import json, os; print(json.dumps(dict(os.environ)))", env={"MINE": "1"}).end()
    seen = json.loads(log_of(tmp_path))
    assert seen["MINE"] == "1"
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert not [name for name in seen if name.startswith("RAY") or "SECRET" in name]


def test_progress_is_passed_on(start: Start) -> None:
    worker = start(
        "import json, os, time\n"
        "open(os.environ['SUANLI_PROGRESS_FILE'], 'w').write(json.dumps({'step': 7, 'metrics': {'loss': 0.5}}))\n"
        "time.sleep(600)"
    )
    progress = worker.wait(lambda report: report.progress).progress
    assert progress is not None
    assert (progress.step, progress.metrics) == (7, {"loss": 0.5})


def test_usage_counts_the_whole_tree(start: Start) -> None:
    worker = start("import os\nos.fork()\nheld = b'x' * (40 << 20)\nwhile True: pass", share=Share(cpus=2))
    worker.wait(lambda report: report.usage.rss_bytes > 80 * 2**20 and report.usage.cpus > 0.05)


SERVER = """
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if pathlib.Path("sick").exists() else 200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_service_is_ready_when_it_answers_and_fails_when_it_no_longer_does(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suanli.engine.health.WHEN_READY_S", 0.05)
    worker = start(SERVER, kind=Kind.SERVE, service=Service())
    assert worker.wait(lambda report: report.ready).state is State.RUNNING
    (tmp_path / "out" / "sick").touch()
    end = worker.end()
    assert end.cause is EndCause.FAILED
    assert end.detail == "GET /healthz failed 3 times in a row: status 503"


def test_a_port_in_use_is_named(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        end = start(SERVER, kind=Kind.SERVE, service=Service(port=port)).end()
    assert end == End(EndCause.START_FAILED, None, f"port {port} is in use on here")


def test_a_log_is_bounded_and_offsets_stay_true(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    path.write_bytes(b"old line\n" * 100_000 + b"the end\n")
    worker_log.bound(path, bytes_max=200_000)
    assert path.stat().st_blocks * 512 <= 200_000
    assert path.stat().st_size == 900_008
    assert worker_log.read_chunk(path, 900_000) == b"the end\n"
    assert worker_log.last_line(path) == "the end"
