"""How fast and how lightly the command line starts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "fastapi",
    "httpx",
    "msgspec",
    "numpy",
    "plotly",
    "psutil",
    "ray",
    "rich",
    "sqlalchemy",
    "uvicorn",
    "yaml",
}
HELP_S, PS_S = 0.3, 0.5
TRIES = 8


def fastest_cpu_s(enough_s: float, *words: str) -> float:
    """User and system time of the first run that is fast enough, or of the best: as on a machine with nothing else."""
    spent: list[float] = []
    for _ in range(TRIES):
        before = _children_cpu_s()
        subprocess.run([sys.executable, "-m", "suanli.cli", *words], capture_output=True, check=True)
        spent.append(_children_cpu_s() - before)
        if spent[-1] < enough_s:
            break
    return min(spent)


def _children_cpu_s() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def loaded_by(*words: str) -> set[str]:
    """Top-level packages that a run imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "suanli.cli", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r"\|\s+([A-Za-z_]\w*)", done.stderr))


def test_help_loads_nothing_heavy() -> None:
    assert loaded_by("--help") & {*HEAVY, "pydantic"} == set()


@pytest.mark.parametrize("command", ["plan", "tour", "up"])
def test_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    """Typer itself loads pydantic, to read options."""
    assert loaded_by(command, "--help") & HEAVY == set()


@pytest.mark.speed
def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    assert fastest_cpu_s(HELP_S, "--help") < HELP_S


@pytest.mark.speed
def test_ps_takes_less_than_half_a_second(lab: Path) -> None:
    assert fastest_cpu_s(PS_S, "ps", "--home", str(lab)) < PS_S


def test_ps_loads_nothing_heavy_without_a_terminal(lab: Path) -> None:
    assert loaded_by("ps", "--home", str(lab)) & HEAVY == set()


def test_a_command_that_there_is_not_and_the_nearest() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "suanli.cli", "explian"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Did you mean 'explain'" in done.stderr
