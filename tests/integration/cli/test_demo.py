"""The demo, played so fast that its day takes seconds: what it tells is what its log says."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suanli.cli.demo import day
from suanli.cli.demo.stage import staged
from suanli.control.home import Home
from suanli.control.trials import Question, prepare
from suanli.domain.errors import UsageError
from suanli.traces import trace_of

PROGRAM = """\
import sys
from suanli.cli.main import app
app(sys.argv[1:], standalone_mode=False)
print(*sorted(name for name in ("ray", "torch") if name in sys.modules), file=sys.stderr)
"""


def played(home: Path, speed: int) -> Any:
    """What a whole day of that speed tells of itself."""
    words = ("demo", "--speed", str(speed), "--seed", "3", "--home", str(home), "-o", "json")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""
    told = json.loads(done.stdout)
    assert told["is_whole"]
    assert told["day_s"] == 7.5 * 3600
    return told


@pytest.mark.timeout(240)
def test_a_whole_day_ends_with_figures_and_a_page_and_without_ray(tmp_path: Path) -> None:
    """What is told must be there on any machine; how much of the fleet was held depends on how fast it decides."""
    home = tmp_path / "home"
    told = played(home, speed=10_000)
    assert told["workloads"]["succeeded"] > 0
    assert told["workloads"]["failed"] == told["workloads"]["stopped"] == 0
    ways = [(part["policy"], part["simulated"]) for part in told["stretches"]]
    assert ways == [("fifo", False), ("srtf", False), ("srtf", True), ("fifo", True)]
    assert all(0.0 <= part["held"] <= 1.0 for part in told["stretches"])
    assert all(part["held"] > 0.0 for part in told["stretches"] if part["simulated"])
    page = Path(told["report"]).read_text(encoding="utf-8")
    assert "h100-1 lost" in page
    assert "fifo simulated" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?:", page)
    assert not (home / "server.json").exists()
    left = Question(trace=f"csv:{home}/day.csv", fleet=f"{home}/fleet.yaml", policies=("fifo",))
    assert prepare(left).trace == trace_of(day.script(3, 600.0).work, day.script(3, 600.0).fleet)


@pytest.mark.speed
def test_in_a_day_work_is_preempted_and_lost_with_a_node_and_the_fleet_is_held(tmp_path: Path) -> None:
    told = played(tmp_path / "home", speed=5_000)
    assert told["workloads"]["succeeded"] > 20
    assert told["preemptions"] > 0
    assert told["lost_with_node"]
    assert all(part["held"] > 0.3 for part in told["stretches"])


def test_a_folder_that_holds_an_earlier_run_is_refused(tmp_path: Path) -> None:
    Home(tmp_path).database.touch()
    with (
        pytest.raises(UsageError, match="holds the state of an earlier run"),
        staged(tmp_path, day.script(0, 600.0)),
    ):
        pass


def test_on_a_terminal_the_fleet_is_drawn_and_ctrl_c_ends_it_in_order_with_what_there_is(
    tmp_path: Path, terminal: Callable[..., Any], cli: Callable[..., Any]
) -> None:
    shown = terminal("demo", "--speed", "1200", "--home", str(tmp_path / "home"))
    shown.wait_for("Node h100-1 is lost")
    shown.wait_for("××××××××")
    looked_in = cli("nodes", "--home", tmp_path / "home", "-o", "json")
    assert len(json.loads(looked_in.stdout)["nodes"]) == 12
    shown.type("\x03")
    assert shown.end() == 0
    assert "Cut off at 1" in shown.said
    assert "Traceback" not in shown.said
    assert (tmp_path / "home" / "demo.html").exists()
    assert not (tmp_path / "home" / "server.json").exists()
