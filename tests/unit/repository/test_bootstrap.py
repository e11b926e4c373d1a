"""The set-up that every make target calls, with a uv that writes down how it was called."""

import ast
import fcntl
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

UV = """#!{python}
import json, os, sys, time
if sys.argv[1:] == ["--version"]:
    sys.exit(0)
print({says!r})
with open({log!r}, "a") as log:
    log.write(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ)}}) + "\\n")
sys.exit({code})
"""


class Folder:
    """A clone with a .venv of its own, in which uv is the script above."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "uv.log"
        for name in ("pyproject.toml", "constraints.txt", "tools/bootstrap.py"):
            (path / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, path / name)
        venv.create(path / ".venv", with_pip=False)
        self.uv_says("installed", code=0)

    def uv_says(self, text: str, code: int) -> None:
        uv = self.path / ".venv/bin/uv"
        uv.write_text(UV.format(python=sys.executable, says=text, log=str(self.log), code=code))
        uv.chmod(0o755)

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "SSL_"))
        }
        return subprocess.run(
            [sys.executable, self.path / "tools/bootstrap.py"],
            env={**kept, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_everything_is_installed_in_one_call_under_the_constraints(folder: Folder) -> None:
    assert folder.set_up().returncode == 0
    (call,) = folder.calls
    assert call["argv"][:2] == ["pip", "install"]
    assert "-e .[quickstart,solve,serve,test,dev] -c constraints.txt" in " ".join(call["argv"])


def test_nothing_is_done_when_nothing_changed(folder: Folder) -> None:
    folder.set_up()
    again = folder.set_up()
    assert (again.returncode, again.stderr, len(folder.calls)) == (0, "", 1)


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", ".venv/pyvenv.cfg"])
def test_a_change_of_what_is_wanted_is_installed(folder: Folder, name: str) -> None:
    folder.set_up()
    with (folder.path / name).open("a") as file:
        file.write("# changed\n")
    folder.set_up()
    assert len(folder.calls) == 2


def test_pips_settings_reach_uv_and_uvs_own_go_first(folder: Folder) -> None:
    folder.set_up(
        PIP_FIND_LINKS="/wheels /more",
        PIP_INDEX_URL="https://index.invalid/simple",
        PIP_EXTRA_INDEX_URL="https://a.invalid https://b.invalid",
        PIP_CERT="/etc/ca.crt",
        UV_DEFAULT_INDEX="https://mine.invalid/simple",
    )
    env = folder.calls[0]["env"]
    assert env["UV_FIND_LINKS"] == "/wheels,/more"
    assert env["UV_INDEX"] == "https://a.invalid https://b.invalid"
    assert env["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert env["SSL_CERT_FILE"] == "/etc/ca.crt"
    assert env["UV_DEFAULT_INDEX"] == "https://mine.invalid/simple"


def test_torch_comes_from_a_wheel_folder_that_offers_it_else_by_the_hardware(folder: Folder) -> None:
    wheels = folder.path / "wheels"
    wheels.mkdir()
    folder.set_up(PIP_FIND_LINKS=str(wheels))
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    (wheels / f"torch-2.13.0+cpu-{tag}-{tag}-manylinux_2_28_{os.uname().machine}.whl").touch()
    (folder.path / ".venv/.suanli-stamp").unlink()
    folder.set_up(PIP_FIND_LINKS=f"file://{wheels}", PATH="/usr/bin:/bin")
    assert ["--torch-backend" in call["argv"] for call in folder.calls] == [True, gpu_here()]


def gpu_here() -> bool:
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi", path="/usr/bin:/bin") is not None


def test_an_index_of_pytorch_that_cannot_be_reached_is_done_without(folder: Folder) -> None:
    folder.uv_says("error: Failed to fetch from pytorch's index", code=2)
    folder.set_up()
    assert ["--torch-backend" in call["argv"] for call in folder.calls] == [True, False]


@pytest.mark.parametrize(
    ("says", "remedy"),
    [
        ("error: Failed to fetch: dns error", "The package index can't be reached"),
        ("No solution found when resolving dependencies", "lacks a version that constraints.txt pins"),
        ("No space left on device (os error 28)", "The disk is full"),
    ],
)
def test_a_failure_shows_what_uv_said_and_a_remedy(folder: Folder, says: str, remedy: str) -> None:
    folder.uv_says(says, code=2)
    result = folder.set_up()
    assert result.returncode == 1
    assert says in result.stderr
    assert remedy in result.stderr


def test_an_install_that_was_cut_off_is_repaired_the_next_time(folder: Folder) -> None:
    folder.uv_says("killed", code=137)
    folder.set_up()
    folder.uv_says("installed", code=0)
    folder.set_up()
    folder.set_up()
    assert ["--reinstall" in call["argv"] for call in folder.calls] == [False, True]


def test_a_second_set_up_waits_for_the_first_and_then_has_nothing_to_do(folder: Folder) -> None:
    with (folder.path / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [sys.executable, folder.path / "tools/bootstrap.py"], stderr=subprocess.PIPE, text=True
        )
        assert second.stderr is not None
        assert "waiting for another set-up" in second.stderr.readline()
        finish_as_the_first(folder)
    assert second.wait(timeout=100) == 0
    assert folder.calls == []


def finish_as_the_first(folder: Folder) -> None:
    program = "import bootstrap; bootstrap.STAMP.write_text(bootstrap.fingerprint())"
    subprocess.run([sys.executable, "-c", program], cwd=folder.path / "tools", check=True)


def test_too_little_disk_is_refused_before_anything_is_written(folder: Folder) -> None:
    shutil.rmtree(folder.path / ".venv")
    program = """if True:
        import bootstrap
        bootstrap.FRESH_BYTES = bootstrap.FRESH_WITH_GPU_BYTES = 1 << 60
        print(bootstrap.main())
    """
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=folder.path / "tools", capture_output=True, text=True, check=True
    )
    assert result.stdout == "1\n"
    assert "GiB free, and the packages need" in result.stderr
    assert not (folder.path / ".venv").exists()


def test_an_old_python_is_told_so(folder: Folder) -> None:
    program = "import bootstrap; bootstrap.OLDEST_PYTHON = (3, 99); print(bootstrap.main())"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=folder.path / "tools", capture_output=True, text=True, check=True
    )
    assert result.stdout == "1\n"
    assert "Suanli needs Python 3.99 or newer" in result.stderr


def test_the_bootstrap_is_written_in_the_syntax_of_python_3_6() -> None:
    ast.parse((ROOT / "tools/bootstrap.py").read_text(), feature_version=(3, 6))
