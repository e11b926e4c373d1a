"""Make .venv, this folder's own Python environment, or bring it up to date.

Runs on the system's python3 before anything is installed. So: standard library only, and in a syntax
that an old Python still reads, to be told that it is too old.

What it leaves is decided by pyproject.toml and constraints.txt. pip's settings (environment and files)
are passed on to uv, which reads none of them; torch comes as the CPU build where there is no GPU.
"""

import ast
import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
PIP = VENV / "bin" / "pip"
UV = VENV / "bin" / "uv"
STAMP = VENV / ".suanli-stamp"
INSTALLING = VENV / ".suanli-installing"  # there only while packages are being written
CONSTRAINTS = ROOT / "constraints.txt"
WANTED = ["-e", ".[quickstart,solve,serve,test,dev]", "-c", CONSTRAINTS.name]

OLDEST_PYTHON = (3, 11)
FRESH_BYTES = 4 << 30
FRESH_WITH_GPU_BYTES = 10 << 30  # CUDA's libraries are several GB on top
UPDATE_BYTES = 1 << 30

UV_NAMES = {
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
}
UNREACHABLE = ("failed to fetch", "error sending request", "connection", "timed out", "from versions: none")


class SetupError(Exception):
    """The environment could not be made; the text says why and what to do."""


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        use_a_recent_python()
        if not is_current():
            with (ROOT / ".venv.lock").open("w") as lock:
                take(lock)
                if not is_current():
                    set_up()
    except (SetupError, OSError) as error:
        say(f"set-up stopped: {error}\n")
        return 1
    except KeyboardInterrupt:
        say("\nset-up interrupted; the same command again takes up where it stopped\n")
        return 130
    return 0


def use_a_recent_python() -> None:
    """Go on in a newer interpreter from PATH if this one is too old."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in range(OLDEST_PYTHON[1], OLDEST_PYTHON[1] + 5):
        newer = shutil.which(f"python3.{minor}")
        if newer and runs(newer, "-c", ""):
            os.execv(newer, [newer, __file__])  # noqa: S606
    raise SetupError(
        f"Suanli needs Python 3.{OLDEST_PYTHON[1]} or newer; {sys.executable} is {platform.python_version()}, "
        "and PATH offers no newer one.\n"
        "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), or name it: "
        "make PYTHON=/path/to/python3.11 ..."
    )


def is_current() -> bool:
    return os.path.exists(PYTHON) and STAMP.exists() and STAMP.read_text() == fingerprint()


def fingerprint() -> str:
    """All that decides what .venv should hold."""
    digest = hashlib.sha256(f"{ROOT} gpu={has_gpu()}".encode())
    for path in (ROOT / "pyproject.toml", CONSTRAINTS, Path(__file__), VENV / "pyvenv.cfg"):
        digest.update(path.read_bytes() if path.exists() else b"absent")
    return digest.hexdigest()


def has_gpu() -> bool:
    return os.path.exists("/dev/nvidiactl") or shutil.which("nvidia-smi") is not None


def take(lock: "IO[str]") -> None:
    """Hold the lock until this process, and whatever it started, has ended."""
    os.set_inheritable(lock.fileno(), True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another set-up of this folder ...\n")
        fcntl.flock(lock, fcntl.LOCK_EX)


def set_up() -> None:
    started = time.monotonic()
    usable = venv_is_usable()
    require_free_disk(UPDATE_BYTES if usable else FRESH_WITH_GPU_BYTES if has_gpu() else FRESH_BYTES)
    if not usable:
        create_venv()
    wanted = fingerprint()
    uv = find_uv()
    # An install that was cut off may have left a package half written but listed as installed.
    repair = INSTALLING.exists()
    INSTALLING.touch()
    if uv:
        install_with_uv(uv, pip_settings(), repair)
    else:
        say("uv can't be had here: going on with pip, which takes some minutes\n")
        run("packages", [PYTHON, "-m", "pip", "install", *(["--force-reinstall"] if repair else []), *WANTED])
    STAMP.write_text(wanted)
    INSTALLING.unlink()
    say(f"set-up done in {time.monotonic() - started:.0f} s\n")


def venv_is_usable() -> bool:
    recent = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    return runs(PYTHON, "-c", recent) and (PIP.exists() or runs(str(UV), "--version"))


def runs(*argv: str) -> bool:
    try:
        return subprocess.call(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:  # not there, or cut off
        return False


def require_free_disk(needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(ROOT).free
    if free_bytes < needed_bytes:
        raise SetupError(
            f"the disk of {ROOT} has {free_bytes / 2**30:.1f} GiB free, "
            f"and the packages need {needed_bytes / 2**30:.0f} GiB.\n"
            "Free some space, or clone to a larger disk."
        )


def run(phase: str, argv: "list[str]", env: "dict[str, str] | None" = None) -> None:
    """One phase: a line with its seconds, and its output only if it fails."""
    started = time.monotonic()
    say(f"{phase} ... ")
    with tempfile.TemporaryFile("w+") as output:
        # close_fds: a child that outlives us keeps the lock, so that nobody installs beside it
        child = subprocess.Popen(
            argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, close_fds=False
        )
        try:
            code = wait(child, phase, started)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        say(f"{time.monotonic() - started:.1f} s{', failed' if code else ''}\n")
        if code:
            output.seek(0)
            raise SetupError(explain_failure(phase, output.read()))


def wait(child: "subprocess.Popen[bytes]", phase: str, started: float) -> int:
    """Wait for the child; on a terminal, count the seconds."""
    while True:
        try:
            return child.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if sys.stderr.isatty():
                say(f"\r{phase} ... {time.monotonic() - started:.0f} s \r{phase} ... ")


def create_venv() -> None:
    phase = f".venv, Python {platform.python_version()}"
    venv = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    try:
        run(phase, venv)
    except SetupError:  # Debian keeps ensurepip in a package of its own; uv does without
        run(f"{phase}, without pip", [*venv, "--without-pip"])


def find_uv() -> "str | None":
    """uv from .venv, where it is installed if need be; else from PATH; else None, if there is pip to go on with."""
    if runs(str(UV), "--version"):
        return str(UV)
    pip = [PYTHON, "-m", "pip"] if PIP.exists() else [sys.executable, "-m", "pip", "--python", PYTHON]
    try:
        run("uv", [*pip, "install", "--force-reinstall", "uv", "-c", CONSTRAINTS.name])
        return str(UV)
    except SetupError as error:
        elsewhere = shutil.which("uv")
        if not (elsewhere or PIP.exists()):
            raise SetupError(
                f"{error}\nThis Python has no pip, and PATH no uv: install one of them "
                "(Debian, Ubuntu: apt install python3-venv), then try again."
            ) from None
        return elsewhere


def install_with_uv(uv: str, settings: "dict[str, str]", repair: bool) -> None:
    install = [uv, "pip", "install", "--python", PYTHON, *(["--reinstall"] if repair else []), *WANTED]
    env = uv_environment(settings)
    if offers_torch(settings.get("find-links", "")) and not has_gpu():
        run("packages", install, env)
        return
    try:
        run("packages", [*install, "--torch-backend", "auto"], env)
    except SetupError as error:
        if "pytorch" not in str(error):
            raise
        say("PyTorch's own index can't be reached: torch comes from the package index, CUDA or not\n")
        run("packages", install, env)


def pip_settings() -> "dict[str, str]":
    """pip's settings by option name, as `pip install` would see them: files, then environment."""
    settings: "dict[str, str]" = {}
    listing = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    for section in ("global.", "install."):
        for line in listing.stdout.splitlines():
            if line.startswith(section):
                option, _, value = line[len(section) :].partition("=")
                settings[option] = ast.literal_eval(value)
    for name, value in os.environ.items():
        if name.startswith("PIP_"):
            settings[name[4:].lower().replace("_", "-")] = value
    return settings


def uv_environment(settings: "dict[str, str]") -> "dict[str, str]":
    """The environment for uv in which pip's settings hold; what is set for uv itself goes first."""
    env = {
        name: " ".join(settings[option].split()) for option, name in UV_NAMES.items() if settings.get(option)
    }
    if "UV_FIND_LINKS" in env:
        env["UV_FIND_LINKS"] = env["UV_FIND_LINKS"].replace(" ", ",")
    if "UV_INDEX" in env:  # pip takes the best version of all its indexes, uv by default the first index
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {**env, **os.environ}


def offers_torch(find_links: str) -> bool:
    """Whether a local wheel folder has a torch for the Python in .venv."""
    tag = subprocess.check_output(
        [PYTHON, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"], text=True
    )
    pattern = f"torch-2*-{tag.strip()}-*{platform.machine()}.whl"
    return any(any(Path(link.removeprefix("file://")).glob(pattern)) for link in find_links.split())


def explain_failure(phase: str, output: str) -> str:
    tail = "\n".join("  " + line for line in output.strip().splitlines()[-15:])
    said = output.lower()
    if "no space left" in said:
        remedy = "The disk is full. Free some space; the same command again takes up where it stopped."
    elif any(sign in said for sign in UNREACHABLE):
        remedy = (
            "The package index can't be reached. Check the network, or name a mirror or a folder of wheels:\n"
            "PIP_INDEX_URL=... or PIP_FIND_LINKS=... (uv is given both)."
        )
    elif any(sign in said for sign in ("no solution found", "could not find a version")):
        remedy = (
            "The package index lacks a version that constraints.txt pins for this Python and this machine."
        )
    else:
        remedy = "The lines above are the installer's last words."
    return f"{phase} failed.\n{tail}\n{remedy}"


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
