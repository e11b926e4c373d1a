"""The state folder of one controller: its paths, its rights, and the lock that makes it the only one there.

Light on purpose: commands that only look for a running server import it too.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from suanli.domain.errors import Conflict, Unavailable, UsageError
from suanli.whole_file import replace

FREE_MIN_BYTES = 256 * 2**20
"""Below this a start is refused: the log, the database and Ray's own files would soon have no room."""


class Home(msgspec.Struct, frozen=True):
    """Where everything of one controller lies."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "suanli.db"

    @property
    def token(self) -> Path:
        """The secret of this machine's command line, for its owner alone."""
        return self.path / "token"

    @property
    def server(self) -> Path:
        return self.path / "server.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def log(self) -> Path:
        return self.path / "controller.log"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def outputs(self) -> Path:
        return self.path / "outputs"

    @property
    def key(self) -> Path:
        """The API key with which this machine's owner asks services."""
        return self.path / "key"

    @property
    def gateway(self) -> Path:
        """Where the controller and this machine's gateway write what they tell each other."""
        return self.path / "gateway"

    @property
    def ray(self) -> Path:
        return self.path / "ray"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running server, as `server.json` tells it. `started_s` is its process's start, so that a reused pid is none."""

    pid: int
    host: str
    port: int
    started_s: float
    url: str = ""


@contextmanager
def claim(path: Path) -> Iterator[Home]:
    """The home, opened and for this process alone. Raises Conflict, UsageError, Unavailable."""
    home = open_home(path)
    with only_one(home):
        yield home


def open_home(path: Path) -> Home:
    """The folder, made where it is missing. Raises UsageError for one that is not safely ours, Unavailable if full."""
    path = path.expanduser().absolute()
    home = Home(path)
    try:
        for folder in (path, home.logs, home.outputs, home.ray):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = path.stat()
        free_bytes = shutil.disk_usage(path).free
    except OSError as error:
        raise UsageError(
            f"The state folder {path} cannot be used: {error.strerror}.",
            remedy="Give another one with `--home`.",
            code="SL-HOME",
        ) from error
    _refuse_shared(home, state)
    if free_bytes < FREE_MIN_BYTES:
        raise Unavailable(
            f"There is too little room on the disk of {path}.",
            remedy="Free some space, or give a folder on another disk with `--home`.",
            evidence={"free_bytes": free_bytes, "needed_bytes": FREE_MIN_BYTES},
            code="SL-DISK",
        )
    return home


def _refuse_shared(home: Home, state: os.stat_result) -> None:
    """Whoever else could write here would be the controller; whoever else could read the token would be its user."""
    if state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise UsageError(
            f"The state folder {home.path} can be written by others.",
            remedy=f"Make it yours alone (`chmod 700 {home.path}`), or give another one with `--home`.",
            evidence={"mode": f"{state.st_mode & 0o777:o}", "owner": state.st_uid},
            code="SL-HOME",
        )
    if home.token.exists() and home.token.stat().st_mode & 0o077:
        raise UsageError(
            f"The token {home.token} can be read by others, who may have copied it.",
            remedy=f"Remove it (`rm {home.token}`); a new one is made at the next start.",
            evidence={"mode": f"{home.token.stat().st_mode & 0o777:o}"},
            code="SL-TOKEN-EXPOSED",
        )


@contextmanager
def only_one(home: Home) -> Iterator[None]:
    """Hold the home for this process; the kernel lets go when it dies, however it dies. Raises Conflict."""
    descriptor = os.open(home.lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _runs_already(home) from None
        yield
    finally:
        os.close(descriptor)


def _runs_already(home: Home) -> Conflict:
    other = read_server(home)
    return Conflict(
        f"A controller runs in {home.path} already" + (f", at {other.url}." if other else "."),
        remedy="Use that one, stop it with `suanli down`, or give another folder with `--home`.",
        evidence={"pid": other.pid} if other else {},
        code="SL-RUNNING",
    )


def read_server(home: Home) -> Server | None:
    """What the last server wrote, whether it still runs or not; None where there is nothing to read."""
    try:
        return msgspec.json.decode(home.server.read_bytes(), type=Server)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def running_server(home: Home) -> Server | None:
    """The server of that home, if its very process is still alive: one that was killed and not yet buried is not."""
    import psutil

    server = read_server(home)
    if server is None:
        return None
    try:
        process = psutil.Process(server.pid)
        started_s, status = process.create_time(), process.status()
    except psutil.NoSuchProcess:
        return None
    is_it = abs(started_s - server.started_s) < _CREATE_TIME_TOLERANCE_S and status != psutil.STATUS_ZOMBIE
    return server if is_it else None


_CREATE_TIME_TOLERANCE_S = 5.0
"""The kernel tells a start in ticks since boot; what boot was in wall-clock time moves when that clock is set."""


def write_private(path: Path, body: bytes) -> None:
    """Replace a file by one for its owner alone; a reader sees the old one or the whole new one."""
    replace(path, body, durable=False)
