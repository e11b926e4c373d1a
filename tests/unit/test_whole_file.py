"""A file is replaced as a whole, or stays as it was."""

import stat
from pathlib import Path

import pytest

from suanli.whole_file import replace


@pytest.mark.parametrize("durable", [True, False])
def test_it_is_replaced_for_its_owner_alone_and_nothing_else_is_left(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    replace(path, b"new", durable=durable)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_cannot_be_replaced_no_draft_stays(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        replace(tmp_path / "taken", b"new", durable=True)
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]
