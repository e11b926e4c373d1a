"""Where the real traces are: in the folder that SUANLI_DATA names, or beside the checkout."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture
def data() -> Callable[[str], Path]:
    """The path of a file of the real traces; the test is skipped where it is not there."""
    folder = Path(os.environ.get("SUANLI_DATA") or BESIDE)

    def path(name: str) -> Path:
        if not (folder / name).exists():
            pytest.skip(f"needs the trace {name} in the folder that SUANLI_DATA names")
        return folder / name

    return path


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a text into a file and gives its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write
