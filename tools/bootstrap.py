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

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".suanli-stamp"
INSTALLING = VENV / ".suanli-installing"  # there only while packages are being written
CONSTRAINTS = ROOT / "constraints.txt"
WANTED = ["-e", ".[quickstart,test,dev]", "-c", CONSTRAINTS.name]

OLDEST_PYTHON = (3, 11)
FRESH_BYTES = 4 << 30
FRESH_WITH_GPU_BYTES = 10 << 30  # the CUDA libraries are several GB on top
UPDATE_BYTES = 1 << 30


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
                    set_up(lock.fileno())
    except SetupError as error:
        say("set-up stopped: {}\n".format(error))
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
        newer = shutil.which("python3.{}".format(minor))
        if newer and subprocess.call([newer, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(newer, [newer, __file__])
    raise SetupError(
        "Suanli needs Python {}.{} or newer; {} is {}, and PATH offers no newer one.\n"
        "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv) or name it: "
        "make PYTHON=/path/to/python3.11 ...".format(
            OLDEST_PYTHON[0], OLDEST_PYTHON[1], sys.executable, platform.python_version()
        )
    )


def is_current() -> bool:
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == fingerprint()


def fingerprint() -> str:
    """All that decides what .venv should hold."""
    digest = hashlib.sha256("{} gpu={}".format(ROOT, has_gpu()).encode())
    for path in (ROOT / "pyproject.toml", CONSTRAINTS, Path(__file__), VENV / "pyvenv.cfg"):
        digest.update(path.read_bytes() if path.exists() else b"absent")
    return digest.hexdigest()


def has_gpu() -> bool:
    return os.path.exists("/dev/nvidiactl") or shutil.which("nvidia-smi") is not None


def take(lock) -> None:
    """Hold the lock until this process, and whatever it started, has ended."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another set-up of this folder ...\n")
        fcntl.flock(lock, fcntl.LOCK_EX)


def set_up(lock_fd: int) -> None:
    started = time.monotonic()
    usable = venv_runs()
    require_free_disk(usable)
    run = Runner(lock_fd)
    if not usable:
        create_venv(run)
    settings = pip_settings()
    uv = find_uv(run)
    # An install that was cut off may have left a package half written but listed as installed.
    repair = INSTALLING.exists()
    INSTALLING.touch()
    if uv:
        install_with_uv(run, uv, settings, repair)
    else:
        say("uv can't be had here: going on with pip, which takes some minutes\n")
        pip = [str(PYTHON), "-m", "pip", "install"] + (["--force-reinstall"] if repair else [])
        run("packages (pip)", pip + WANTED)
    INSTALLING.unlink()
    STAMP.write_text(fingerprint())
    say("set-up done in {:.0f} s\n".format(time.monotonic() - started))


def venv_runs() -> bool:
    check = "import sys; sys.exit(sys.version_info < {!r})".format(OLDEST_PYTHON)
    return PYTHON.exists() and subprocess.call([str(PYTHON), "-c", check], stderr=subprocess.DEVNULL) == 0


def require_free_disk(update: bool) -> None:
    needed = UPDATE_BYTES if update else FRESH_WITH_GPU_BYTES if has_gpu() else FRESH_BYTES
    free = shutil.disk_usage(str(ROOT)).free
    if free < needed:
        raise SetupError(
            "the disk of {} has {:.1f} GiB free, and the packages need {:.0f} GiB.\n"
            "Free some space, or clone to a larger disk.".format(ROOT, free / 2**30, needed / 2**30)
        )


class Runner:
    """Runs one phase at a time: a line with its seconds, its output only if it fails."""

    def __init__(self, lock_fd: int) -> None:
        self.lock_fd = lock_fd

    def __call__(self, phase: str, argv: "list[str]", env: "dict[str, str] | None" = None) -> None:
        started = time.monotonic()
        say("{} ... ".format(phase))
        # A child that outlives this process keeps the lock, so nobody installs beside it.
        with tempfile.TemporaryFile("w+") as output, subprocess.Popen(
            argv, cwd=str(ROOT), env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            pass_fds=[self.lock_fd],
        ) as child:
            try:
                code = wait(child, phase, started)
            except BaseException:
                child.terminate()
                raise
            say("{:.1f} s{}\n".format(time.monotonic() - started, "" if code == 0 else ", failed"))
            if code != 0:
                output.seek(0)
                raise SetupError(explain_failure(phase, output.read()))


def wait(child: "subprocess.Popen[str]", phase: str, started: float) -> int:
    """Wait for the child; on a terminal, count the seconds."""
    while True:
        try:
            return child.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if sys.stderr.isatty():
                say("\r{} ... {:.0f} s \r{} ... ".format(phase, time.monotonic() - started, phase))


def create_venv(run: Runner) -> None:
    version = platform.python_version()
    venv = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    try:
        run(".venv (Python {})".format(version), venv)
    except SetupError:  # Debian keeps ensurepip in a package of its own; uv does without
        run(".venv (Python {}, without pip)".format(version), venv + ["--without-pip"])


def find_uv(run: Runner) -> "str | None":
    own = VENV / "bin" / "uv"
    if own.exists():
        return str(own)
    has_pip = (VENV / "bin" / "pip").exists()
    pip = [str(PYTHON), "-m", "pip"] if has_pip else [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    try:
        run("uv", pip + ["install", "uv", "-c", CONSTRAINTS.name])
        return str(own)
    except SetupError as error:
        elsewhere = shutil.which("uv")
        if not (elsewhere or has_pip):
            raise SetupError(
                "{}\n\nThis Python has no pip, and PATH no uv: "
                "install python3-venv (Debian, Ubuntu) or uv, then try again.".format(error)
            )
        return elsewhere


def install_with_uv(run: Runner, uv: str, settings: "dict[str, str]", repair: bool) -> None:
    install = [uv, "pip", "install", "--python", str(PYTHON)] + (["--reinstall"] if repair else []) + WANTED
    env = uv_environment(settings)
    if offers_torch(settings.get("find-links", "")) and not has_gpu():
        run("packages", install, env)
        return
    try:
        run("packages", install + ["--torch-backend", "auto"], env)
    except SetupError as error:
        if "pytorch" not in str(error):
            raise
        say("PyTorch's own index can't be reached: taking torch from the package index (may be the CUDA build)\n")
        run("packages", install, env)


def pip_settings() -> "dict[str, str]":
    """pip's settings by option name, as `pip install` would see them: files, then environment."""
    settings = {}
    pip = [str(PYTHON), "-m", "pip", "config", "list"]
    listed = subprocess.run(pip, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    for section in ("global.", "install."):
        for line in listed.stdout.splitlines():
            if line.startswith(section):
                key, _, value = line[len(section) :].partition("=")
                settings[key] = ast.literal_eval(value)
    for name, value in os.environ.items():
        if name.startswith("PIP_"):
            settings[name[4:].lower().replace("_", "-")] = value
    return settings


def uv_environment(settings: "dict[str, str]") -> "dict[str, str]":
    """The environment for uv in which pip's settings hold; what is set for uv itself goes first."""
    env = {}

    def carry(option: str, name: str, separator: str = " ") -> None:
        if settings.get(option):
            env[name] = separator.join(settings[option].split())

    carry("find-links", "UV_FIND_LINKS", ",")
    carry("index-url", "UV_DEFAULT_INDEX")
    carry("extra-index-url", "UV_INDEX")
    carry("no-index", "UV_NO_INDEX")
    carry("trusted-host", "UV_INSECURE_HOST")
    carry("cert", "SSL_CERT_FILE")
    carry("client-cert", "SSL_CLIENT_CERT")
    carry("proxy", "ALL_PROXY")
    carry("default-timeout", "UV_HTTP_TIMEOUT")
    carry("timeout", "UV_HTTP_TIMEOUT")
    if "UV_INDEX" in env:  # pip takes the best version of all its indexes, uv by default the first index
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    env.update(os.environ)
    return env


def offers_torch(find_links: str) -> bool:
    """Whether a local wheel folder has a torch for the Python in .venv."""
    version = subprocess.check_output(
        [str(PYTHON), "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"], universal_newlines=True
    )
    pattern = "torch-2*-{}-*{}.whl".format(version.strip(), platform.machine())
    folders = [Path(link[7:] if link.startswith("file://") else link) for link in find_links.split()]
    return any(any(folder.glob(pattern)) for folder in folders)


def explain_failure(phase: str, output: str) -> str:
    tail = "\n".join("  " + line for line in output.strip().splitlines()[-15:])
    lower = output.lower()
    if "no space left" in lower:
        remedy = "The disk is full. Free some space; the same command again takes up where it stopped."
    elif any(sign in lower for sign in ("failed to fetch", "error sending request", "connection", "timed out")):
        remedy = (
            "The package index can't be reached. Check the network, or name a mirror or a wheel folder:\n"
            "PIP_INDEX_URL=... or PIP_FIND_LINKS=... (uv is given both)."
        )
    elif any(sign in lower for sign in ("no solution found", "could not find a version")):
        remedy = "The package index lacks a version that constraints.txt pins for this Python and machine."
    else:
        remedy = "The lines above are all that the installer said."
    return "{} failed.\n{}\n{}".format(phase, tail, remedy)


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
