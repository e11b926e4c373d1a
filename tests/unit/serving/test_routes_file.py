"""Routes are taken from their file when they are newer, and never from one that is broken."""

from pathlib import Path

from suanli.serving.gateway.routes import Routes
from suanli.serving.gateway.routes_file import ROUTES_FILE, RoutesFile, write_routes


def test_newer_routes_are_taken_once(tmp_path: Path) -> None:
    seen = RoutesFile(tmp_path / ROUTES_FILE)
    assert seen.news() is None
    write_routes(tmp_path, Routes(version=3))
    told = seen.news()
    assert told is not None
    assert told.version == 3
    assert seen.news() is None


def test_older_and_unreadable_ones_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / ROUTES_FILE
    seen = RoutesFile(path)
    write_routes(tmp_path, Routes(version=3))
    assert seen.news() is not None
    write_routes(tmp_path, Routes(version=2))
    assert seen.news() is None
    for broken in (b"", b"{", b'{"version":"x"}', b'{"version":9,"routes":[{}]}', b"\xff"):
        path.write_bytes(broken)
        assert seen.news() is None
    path.unlink()
    assert seen.news() is None
    write_routes(tmp_path, Routes(version=4))
    told = seen.news()
    assert told is not None
    assert told.version == 4


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    write_routes(tmp_path, Routes(version=1))
    assert (tmp_path / ROUTES_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [ROUTES_FILE]
