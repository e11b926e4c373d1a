"""The contracts of pyproject.toml hold, and each one bites."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = Path(sys.executable).parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {contract["id"]: contract for contract in CONFIG["tool"]["importlinter"]["contracts"]}
PURE_ROOMS = ("domain", "solvers", "perf", "policies", "kernel", "sim")


def lint_imports(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "lint-imports", "--no-cache", "--no-logo", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to be spoilt."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("contract", "room", "line", "named"),
    [
        ("layers", "domain", "import suanli.policies", "suanli.domain.violation -> suanli.policies"),
        ("layers", "ports", "import suanli.catalog", "suanli.ports.violation -> suanli.catalog"),
        ("pure", "kernel", "import random", "suanli.kernel.violation -> random"),
        ("pure", "policies", "from time import monotonic", "suanli.policies.violation -> time"),
        ("ray", "ports", "def later():\n    import ray", "suanli.ports.violation -> ray"),
        ("solvers", "catalog", "import highspy", "suanli.catalog.violation -> highspy"),
    ],
)
def test_a_deliberate_violation_is_reported_by_name(
    copy: Path, contract: str, room: str, line: str, named: str
) -> None:
    (copy / "src/suanli" / room / "violation.py").write_text(line + "\n")
    result = lint_imports(copy, "--contract", contract)
    assert result.returncode == 1
    assert f"{CONTRACTS[contract]['name']} BROKEN" in result.stdout
    assert named in result.stdout


@pytest.mark.parametrize(
    "line",
    [
        "from datetime import datetime\nNOW = datetime.now()",
        "import numpy as np\nRNG = np.random.default_rng()",
        "import numpy as np\nX = np.random.rand()",
    ],
)
def test_a_hidden_clock_or_chance_in_a_pure_room_is_reported(line: str) -> None:
    result = subprocess.run(
        [SCRIPTS / "ruff", "check", "--stdin-filename", "src/suanli/kernel/violation.py", "-"],
        input=line,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "TID251" in result.stdout or "NPY002" in result.stdout


def test_every_pure_room_that_is_built_is_under_the_pure_contract() -> None:
    built = {f"suanli.{room}" for room in PURE_ROOMS if (ROOT / "src/suanli" / room / "__init__.py").exists()}
    assert built == set(CONTRACTS["pure"]["source_modules"])


def test_every_room_has_a_storey() -> None:
    storeys = " ".join(CONTRACTS["layers"]["layers"])
    rooms = {path.parent.name for path in (ROOT / "src/suanli").glob("*/__init__.py")}
    assert sorted(room for room in rooms if f"({room})" not in storeys) == []


def test_make_check_asks_for_the_contracts() -> None:
    recipe = subprocess.run(
        ["make", "--dry-run", "check"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "lint-imports" in recipe.stdout
