"""What a command or a worker loads at its start."""

import re
import subprocess
import sys

HEAVY = {
    "alembic",
    "fastapi",
    "httpx",
    "numpy",
    "pint",
    "plotly",
    "ray",
    "sqlalchemy",
    "starlette",
    "torch",
    "uvicorn",
}


def packages_loaded_by(program: str, *arguments: str) -> set[str]:
    """The top-level packages in the report of `python -X importtime`."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", result.stderr, re.MULTILINE)
    return {module.partition(".")[0] for module in modules}


def test_a_program_that_reports_progress_loads_the_standard_library_alone() -> None:
    loaded = packages_loaded_by("import suanli")
    bare = packages_loaded_by("")
    assert loaded - bare - set(sys.stdlib_module_names) == {"suanli"}


def test_the_command_line_loads_nothing_heavy() -> None:
    assert packages_loaded_by("from suanli.cli.main import app; app()", "--help") & HEAVY == set()
