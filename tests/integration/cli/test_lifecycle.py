"""`up` and `down`: in the background and here, and what stands in their way."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from suanli.cli.session import DEFAULT_PORT
from suanli.control import wiring
from suanli.domain.events import StopBegun
from suanli.store import SqlStore

Process = Callable[..., Any]
FAKE = ("--engine", "fake", "--port", "0")


@pytest.fixture
def home(tmp_path: Path, cli: Process) -> Iterator[Path]:
    yield tmp_path / "home"
    assert cli("down", "--home", tmp_path / "home").exit_code == 0


@pytest.fixture
def refused(cli: Process) -> Iterator[Process]:
    """An `up` in this process that won't come up; whom signals go to is put right afterwards."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    former = {number: signal.getsignal(number) for number in numbers}
    yield cli
    for number, handler in former.items():
        signal.signal(number, handler)


def controller_of(home: Path) -> int:
    return json.loads((home / "server.json").read_text())["pid"]


def test_up_in_the_background_is_ready_when_it_returns(
    home: Path, process: Process, cli: Process, refused: Process, fleet_file: Path
) -> None:
    done = process("up", "-d", "--home", str(home), *FAKE, "--fleet", str(fleet_file))
    assert done.code == 0, done.err
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", done.out)
    assert len(done.err.splitlines()) <= 6
    assert "small  ready" in cli("nodes", "--home", home).stdout

    token = (home / "token").read_text().strip()
    assert token in done.err, "shown once"
    assert token not in "".join(file.read_text() for file in home.glob("*.log"))
    assert stat.S_IMODE((home / "up.log").stat().st_mode) == 0o600

    again = cli("up", "-d", "--home", home, *FAKE)
    assert (again.exit_code, again.stdout) == (0, done.out)
    assert "already" in again.stderr

    here = refused("up", "--home", home, *FAKE)
    assert here.exit_code == 5
    assert "SL-RUNNING" in here.stderr

    pid = controller_of(home)
    assert cli("down", "--home", home).exit_code == 0
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not (home / "server.json").exists()


def test_down_where_nothing_runs_has_nothing_to_do(tmp_path: Path, cli: Process) -> None:
    done = cli("down", "--home", tmp_path, "-o", "json")
    assert (done.exit_code, json.loads(done.stdout)["stopped"]) == (0, False)


def test_down_leaves_alone_whoever_has_the_number_of_a_dead_controller(tmp_path: Path, cli: Process) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        note = {
            "pid": stranger.pid,
            "host": "127.0.0.1",
            "port": 1,
            "started_s": 1.0,
            "url": "http://127.0.0.1:1",
        }
        (tmp_path / "server.json").write_text(json.dumps(note))
        assert cli("down", "--home", tmp_path).exit_code == 0
        assert stranger.poll() is None
        stranger.communicate(b"\n")


@pytest.fixture
def busy(home: Path, process: Process, cli: Process, fleet_file: Path, tmp_path: Path) -> Path:
    """A home with a controller and work that runs."""
    started = process("up", "-d", "--home", str(home), *FAKE, "--fleet", str(fleet_file))
    assert started.code == 0, started.err
    work = tmp_path / "work.yaml"
    work.write_text("kind: serve\nname: work\nrun: [sleep, '1']\nresources: {cpus: 1}\n")
    applied = cli("apply", "-f", work, "-y", "--wait", "--timeout", "100s", "--home", home)
    assert applied.exit_code == 0, applied.stderr
    return home


def was_told_to_end(home: Path) -> bool:
    """Whether the work was, by the log that the controller left."""
    store = SqlStore(f"sqlite:///{home / 'suanli.db'}")
    entries = store.entries(0)
    store.close()
    return any(isinstance(entry.event, StopBegun) for entry in entries)


def test_down_ends_running_work_with_its_grace(busy: Path, cli: Process) -> None:
    assert cli("down", "--home", busy).exit_code == 0
    assert was_told_to_end(busy)


def test_down_leaves_running_work_alone_where_it_is_told_to(busy: Path, cli: Process) -> None:
    assert cli("down", "--keep-work", "--home", busy).exit_code == 0
    assert not was_told_to_end(busy)


def test_sigterm_leaves_work_alone_in_the_background(busy: Path, eventually: Process) -> None:
    os.kill(controller_of(busy), signal.SIGTERM)
    eventually(lambda: not (busy / "server.json").exists())
    assert not was_told_to_end(busy)


def test_ctrl_c_ends_a_controller_of_this_terminal_in_order(
    home: Path, terminal: Process, eventually: Process
) -> None:
    shown = terminal("up", "--home", str(home), *FAKE)
    shown.wait_for("Suanli runs at http://127.0.0.1:")
    eventually((home / "server.json").exists)
    shown.type("\x03")
    assert shown.end() == 0
    assert "Traceback" not in shown.said
    assert not (home / "server.json").exists()


def test_the_port_of_doctor_and_up_is_the_controllers() -> None:
    """Said twice, since the command line must not load the controller to say it."""
    assert DEFAULT_PORT == wiring.DEFAULT_PORT


def test_1_a_port_in_use(tmp_path: Path, refused: Process) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = refused("up", "--home", tmp_path / "home", "--engine", "fake", "--port", port)
    assert done.exit_code == 1
    assert f"Port {port}" in done.stderr
    assert "--port" in done.stderr


def test_2_an_address_that_others_can_reach_without_tls(tmp_path: Path, process: Process) -> None:
    """In the background: the words and the code of the start that failed are those of the command."""
    done = process("up", "-d", "--home", str(tmp_path / "home"), *FAKE, "--host", "0.0.0.0")
    assert done.code == 2
    assert "SL-BIND" in done.err


def test_2_a_fleet_that_is_wrong_before_anything_is_started(tmp_path: Path, refused: Process) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("kind: fleet\nname: f\nnodes: [{name: a, cpus: lots, memory: 1GiB}]\n")
    done = refused("up", "--home", tmp_path / "home", *FAKE, "--fleet", fleet)
    assert done.exit_code == 2
    assert "fleet.yaml:3" in done.stderr
    assert not (tmp_path / "home").exists()


def test_1_no_controller_names_the_command_that_starts_one(tmp_path: Path, cli: Process) -> None:
    done = cli("ps", "--home", tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"suanli up --home {tmp_path}" in done.stderr


def url_of(lab: Path) -> str:
    return json.loads((lab / "server.json").read_text())["url"]


def test_6_a_token_that_is_not_valid(lab: Path, cli: Process) -> None:
    done = cli("ps", env={"SUANLI_URL": url_of(lab), "SUANLI_TOKEN": "sl_wrong"})
    assert done.exit_code == 6
    assert "SL-AUTH" in done.stderr


def test_6_no_token_for_another_controller_than_this_homes(lab: Path, cli: Process) -> None:
    done = cli("ps", "--home", lab, env={"SUANLI_URL": url_of(lab)})
    assert done.exit_code == 6
    assert "SUANLI_TOKEN" in done.stderr


def test_a_controller_is_found_by_address_and_token_alone(lab: Path, cli: Process) -> None:
    token = (lab / "token").read_text()
    assert cli("policy", env={"SUANLI_URL": url_of(lab), "SUANLI_TOKEN": token}).exit_code == 0


def test_124_a_controller_that_does_not_answer(cli: Process) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = cli("ps", "--timeout", "300ms", "-o", "json", env={"SUANLI_URL": url, "SUANLI_TOKEN": "t"})
    assert (done.exit_code, done.stdout) == (124, "")
    assert json.loads(done.stderr)["code"] == "SL-TIMEOUT"


def test_1_a_plan_that_finds_no_controller_names_the_way_without(
    cli: Process, tmp_path: Path, fleet_file: Path
) -> None:
    done = cli("plan", "-f", fleet_file, "--home", tmp_path)
    assert done.exit_code == 1
    assert "--fleet FILE" in done.stderr


def test_2_an_address_that_is_none(cli: Process) -> None:
    for url in ("controller:8100", "http://here:port", "file:///etc/passwd"):
        done = cli("ps", env={"SUANLI_URL": url, "SUANLI_TOKEN": "t"})
        assert done.exit_code == 2
        assert "is no address of a controller" in done.stderr
