"""The state folder: private, roomy, and one controller's."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import msgspec
import psutil
import pytest

from suanli.control.home import Home, Server, claim, open_home, read_server, running_server, write_private
from suanli.domain.errors import Conflict, Unavailable, UsageError


def test_it_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path):
    former = os.umask(0)
    try:
        home = open_home(tmp_path / "state" / "suanli")
    finally:
        os.umask(former)
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.logs.stat().st_mode) == 0o700


def test_one_that_others_can_write_is_refused(tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o777)
    with pytest.raises(UsageError) as refused:
        open_home(tmp_path / "home")
    assert (refused.value.code, refused.value.evidence["mode"]) == ("SL-HOME", "777")
    assert "chmod 700" in refused.value.remedy


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int):
    home = open_home(tmp_path / "home")
    home.token.write_text("secret")
    home.token.chmod(mode)
    with pytest.raises(UsageError) as refused:
        open_home(home.path)
    assert refused.value.code == "SL-TOKEN-EXPOSED"


def test_a_file_in_its_place_is_refused(tmp_path: Path):
    (tmp_path / "home").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        open_home(tmp_path / "home")


def test_a_disk_that_is_nearly_full_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))  # pyright: ignore
    with pytest.raises(Unavailable) as refused:
        open_home(tmp_path / "home")
    assert (refused.value.code, refused.value.evidence["free_bytes"]) == ("SL-DISK", 1000)


def test_it_is_claimed_by_one_and_free_again_afterwards(tmp_path: Path):
    with claim(tmp_path / "home"), pytest.raises(Conflict, match="runs in"), claim(tmp_path / "home"):
        pass
    with claim(tmp_path / "home"):
        pass


def test_a_server_is_known_while_its_very_process_lives(tmp_path: Path):
    home = Home(tmp_path)
    assert read_server(home) is None
    assert running_server(home) is None
    me = psutil.Process()
    mine = Server(pid=me.pid, host="127.0.0.1", port=1, started_s=me.create_time(), url="http://127.0.0.1:1")
    write_private(home.server, msgspec.json.encode(mine))
    assert stat.S_IMODE(home.server.stat().st_mode) == 0o600
    assert running_server(home) == mine
    of_another = msgspec.structs.replace(
        mine, started_s=mine.started_s - 3600
    )  # the pid was given to somebody else
    write_private(home.server, msgspec.json.encode(of_another))
    assert running_server(home) is None
    home.server.write_text("{")
    assert read_server(home) is None


def test_a_server_that_was_killed_and_not_yet_buried_runs_no_more(tmp_path: Path):
    home = open_home(tmp_path / "home")
    child = subprocess.Popen(["sleep", "60"])
    process = psutil.Process(child.pid)
    server = Server(pid=child.pid, host="127.0.0.1", port=1, started_s=process.create_time())
    write_private(home.server, msgspec.json.encode(server))
    assert running_server(home) == server
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert running_server(home) is None
    child.wait()
