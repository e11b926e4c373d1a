"""A journal on a real disk."""

import stat
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from suanli.serving.admission.journal import open_journal

BODIES = [b"one", b"two" * 50, b"\x00" * 9]


def written(path: Path, *bodies: bytes) -> bytes:
    journal, _ = open_journal(path)
    journal.append(bodies)
    journal.close()
    return path.read_bytes()


def test_what_was_appended_is_there_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path, *BODIES[:2])
    written(path, BODIES[2])
    assert open_journal(path)[1] == tuple(BODIES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_cut_anywhere_it_opens_with_the_records_that_are_whole_and_can_be_written_again(
    tmp_path: Path,
) -> None:
    content = written(tmp_path / "whole", *BODIES)
    ends = [8 + 3, 8 + 3 + 8 + 150, len(content)]
    for size in range(len(content) + 1):
        path = tmp_path / "j"
        path.write_bytes(content[:size])
        whole = sum(end <= size for end in ends)
        journal, records = open_journal(path)
        assert records == tuple(BODIES[:whole])
        journal.append([b"next"])
        journal.close()
        assert open_journal(path)[1] == (*BODIES[:whole], b"next")


@given(tail=st.binary(min_size=1, max_size=60))
def test_a_tail_of_anything_is_no_record(tmp_path_factory, tail: bytes) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    path.write_bytes(written(path, BODIES[0]) + tail)
    assert open_journal(path)[1] == (BODIES[0],)


def test_a_byte_that_is_not_what_was_written_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    content = bytearray(written(path, *BODIES))
    content[8 + 3 + 8 + 20] ^= 1
    path.write_bytes(content)
    assert open_journal(path)[1] == (BODIES[0],)


def test_it_begins_anew_with_what_it_is_given(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path / "j")
    journal.append(BODIES)
    journal.replace([b"all of it"])
    journal.append([b"and more"])
    journal.close()
    assert open_journal(tmp_path / "j")[1] == (b"all of it", b"and more")
    assert [path.name for path in tmp_path.iterdir()] == ["j"]
