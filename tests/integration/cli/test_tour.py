"""The tour's story, told on an engine without machines: nothing answers requests there, so it can't end well."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUANLI = [sys.executable, "-m", "suanli.cli"]

PLAY = {
    "fleet": "kind: fleet\nnodes: [{name: local, cpus: 2, memory: 8GiB, price: 0.1/h}]",
    "gpt": "kind: train\nresources: {cpus: 2}\npriority: 30\nduration: 4s\ncheckpoint: {every: 1s}",
    "digits": "kind: job\nresources: {cpus: 1}\npriority: 80\nduration: 1s",
    "numpy": "kind: job\nresources: {cpus: 1}\npriority: 20\nduration: 1s",
    "too-big": "kind: train\nresources: {accelerators: 'H100:8'}",
    "serve": "kind: serve\nname: chat\nmodel: {from: gpt}\nresources: {cpus: 1}",
}


@pytest.fixture
def play(tmp_path: Path) -> Path:
    """The quickstart's files, with work that takes seconds."""
    folder = tmp_path / "play"
    folder.mkdir()
    for name, text in PLAY.items():
        named = text if "\nname: " in text else f"name: {name}\n{text}"
        run = "" if name == "fleet" else "\nrun: [sleep, '1']"
        (folder / f"{name}.yaml").write_text(f"{named}{run}\n")
    return folder


def words(play: Path, *more: str) -> list[str]:
    return ["tour", "--engine", "fake", "--examples", str(play), "--home", str(play.parent / "home"), *more]


def is_over(home: Path) -> bool:
    return home.exists() and not (home / "server.json").exists()


def test_the_story_is_told_line_by_line_and_a_failure_ends_it_in_order(
    play: Path, process: Callable[..., Any]
) -> None:
    done = process(*words(play, "--once"))
    assert done.code == 1
    story = re.sub(r"^ *\d+ s  ", "", done.out, flags=re.MULTILINE)
    for line in (
        "too-big  NoSuchAccelerator: asks for 8 H100 per node",
        "chat/0  DependsOn: waits for gpt to succeed",
        "gpt  attempt 1 told to end: preempted for digits",
        "digits  attempt 1 ended: succeeded",
        "gpt  attempt 2 placed on local",
        "gpt  attempt 2 ended: succeeded",
        "chat/0  attempt 1 answers its health check",
        "$ curl -d ",
    ):
        assert line in story, done.out
    assert "SL-TOUR  The service at" in done.err
    assert "Traceback" not in done.err
    assert story.rstrip().endswith("Shutting down ...")
    assert is_over(play.parent / "home")


def test_a_part_that_fails_is_named_and_explained(play: Path, process: Callable[..., Any]) -> None:
    (play / "gpt.yaml").write_text("kind: train\nname: gpt\nrun: [sleep, '1']\nresources: {cpus: 3}\n")
    done = process(*words(play, "--once", "--timeout", "3s"))
    assert done.code == 124
    assert "gpt is waiting" in done.out
    assert "gpt took longer than 3 s" in done.err
    assert is_over(play.parent / "home")


def test_sigterm_in_the_midst_ends_it_in_order(play: Path) -> None:
    with subprocess.Popen(
        [*SUANLI, *words(play)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tour:
        assert tour.stdout is not None
        for line in tour.stdout:
            if "gpt  attempt 1 runs" in line:
                break
        tour.terminate()
        out, err = tour.communicate(timeout=110)
    assert tour.returncode == 130
    assert "Shutting down ..." in out
    assert "Traceback" not in err
    assert is_over(play.parent / "home")


def test_on_a_terminal_there_is_a_live_table_and_ctrl_c_ends_it(
    play: Path, terminal: Callable[..., Any]
) -> None:
    shown = terminal(*words(play))
    shown.wait_for("WORKLOAD")
    shown.wait_for("gpt  attempt 1 runs")
    shown.type("\x03")
    assert shown.end() == 130
    assert "Traceback" not in shown.said
    assert is_over(play.parent / "home")


def test_2_without_the_examples_it_says_what_it_needs(tmp_path: Path, process: Callable[..., Any]) -> None:
    """As from a wheel, away from any clone."""
    program = (
        "import suanli.cli.tour.command as tour; from pathlib import Path; "
        "tour.__file__ = '/usr/lib/x/y/z/command.py'; from suanli.cli.main import app; app(['tour', '--once'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "examples/quickstart" in done.stderr
    assert not list(tmp_path.iterdir())
