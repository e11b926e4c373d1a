import importlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from suanli import progress

module = importlib.import_module("suanli.progress")  # `suanli.progress` itself is the function


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUANLI_PROGRESS_FILE", str(tmp_path / "progress.json"))
    monkeypatch.setattr(module, "_report", module._Report())
    return tmp_path / "progress.json"


def said(report: Path) -> dict[str, object]:
    return json.loads(report.read_text())


def test_outside_suanli_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUANLI_PROGRESS_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    progress(1, 2, {"loss": 3.0})
    assert list(tmp_path.iterdir()) == []


def test_the_first_report_lands_at_once_with_its_fields(report: Path) -> None:
    progress(3, 10, {"loss": 2.5})
    found = said(report)
    assert (found["step"], found["total"], found["metrics"]) == (3, 10, {"loss": 2.5})
    assert abs(float(str(found["at_s"])) - time.time()) < 60


def test_reports_are_written_at_most_ten_times_a_second_and_the_last_one_lands(report: Path) -> None:
    seen = set[int]()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if report.exists():
                seen.add(report.stat().st_ino)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started_s = time.monotonic()
    for step in range(20_000):
        progress(step)
    spent_s = time.monotonic() - started_s
    deadline_s = time.monotonic() + 60
    while said(report)["step"] != 19_999 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    done.set()
    watcher.join()
    assert said(report)["step"] == 19_999
    assert len(seen) <= spent_s * 10 + 2


def test_the_last_report_lands_when_the_program_ends_at_once(tmp_path: Path) -> None:
    program = "import suanli\nfor step in range(100): suanli.progress(step)"
    report = tmp_path / "progress.json"
    subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"SUANLI_PROGRESS_FILE": str(report)}, check=True
    )
    assert said(report)["step"] == 99
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_a_metric_stays_until_it_is_given_again(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.0)
    progress(1, metrics={"loss": 3.0, "validation": 2.9})
    progress(2, metrics={"loss": 2.8})
    assert said(report)["metrics"] == {"loss": 2.8, "validation": 2.9}


def test_metrics_that_are_no_finite_numbers_are_dropped_and_the_rest_is_kept(report: Path) -> None:
    progress(1, metrics={"loss": float("nan"), "speed": float("inf"), "odd": "text", "accuracy": 0.5})  # type: ignore[dict-item]
    assert said(report)["metrics"] == {"accuracy": 0.5}


def test_nothing_that_is_passed_in_or_broken_outside_reaches_the_program(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress("soon")  # type: ignore[arg-type]
    progress(1, metrics=[1, 2])  # type: ignore[arg-type]
    monkeypatch.setenv("SUANLI_PROGRESS_FILE", str(report.parent / "missing" / "progress.json"))
    progress(2)
    assert not report.exists()


def test_a_report_from_a_signal_handler_in_the_midst_of_a_report_does_not_hang(report: Path) -> None:
    program = (
        "import signal, suanli\n"
        "signal.signal(signal.SIGALRM, lambda *_: suanli.progress(-1))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "for step in range(20_000): suanli.progress(step)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "suanli.progress(20_000)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
    assert said(report)["step"] == 20_000


def test_importing_suanli_is_cheap() -> None:
    program = "import sys, suanli; print(*sorted(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"msgspec", "numpy", "pydantic", "asyncio"} & set(modules)
