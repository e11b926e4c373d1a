"""The gateway's process: started when there is something to serve, adopted after a restart, ended with the controller.

It outlives a controller that is killed: requests go on being answered while nobody decides.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import structlog

from suanli.domain.errors import Unavailable
from suanli.serving.gateway.supervisor import GATEWAY_FILE, KILL_S, Running

AGAIN_S = 5.0
"""A gateway that has ended is not started again sooner than that."""

REFUSED_MAX = 2
"""Further tries of a port that clients know: workers of a gateway that was killed may still be dying there."""

DEFAULT_PORT = 8110

log = structlog.get_logger("suanli.control")


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """Where a gateway listens, with how many workers. Port None: the usual one, or where that is taken any other."""

    host: str = "127.0.0.1"
    port: int | None = None
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None


class GatewayProcess:
    """`folder` is what it shares with the controller, `log_file` where it says what it does."""

    def __init__(self, folder: Path, door: Door, log_file: Path) -> None:
        self._folder = folder
        self._door = door
        self._log_file = log_file
        self._port = door.port if door.port is not None else DEFAULT_PORT
        self._child: subprocess.Popen[bytes] | None = None
        self._started_s: float | None = None
        self._refused = 0

    def running(self) -> Running | None:
        """What runs in the folder, whoever started it."""
        told = self._told()
        if told is None:
            return None
        try:
            process = psutil.Process(told.pid)
            alive = process.create_time() == told.create_time_s and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return told if alive else None

    @property
    def url(self) -> str:
        """Where clients reach it, empty while it does not run."""
        running = self.running()
        if running is None:
            return ""
        host = f"[{running.host}]" if ":" in running.host else running.host
        return f"http{'s' if running.tls else ''}://{host}:{running.port}"

    def ensure(self, now_s: float) -> None:
        """Start it where it does not run, `AGAIN_S` after its last start at the soonest."""
        if self._child is not None and self._child.poll() is None:
            return
        if self.running() is not None:
            return
        if self._child is not None:
            log.warning("the gateway ended", exit_code=self._child.returncode, log=str(self._log_file))
            self._refused = self._refused + 1 if self._child.returncode == Unavailable.exit_code else 0
            self._child = None
        last = self._told()
        if self._door.port is None and self._refused > (REFUSED_MAX if last else 0):
            self._port, self._refused = 0, 0
        elif self._started_s is not None and now_s - self._started_s < AGAIN_S:
            return
        elif self._door.port is None and last is not None and not self._refused:
            self._port = last.port
        self._started_s = now_s
        try:
            self._child = self._start()
        except OSError as error:
            log.warning("the gateway cannot be started", error=str(error))

    def end(self) -> None:
        """Let it finish what it has, and end."""
        running = self.running()
        if running is None:
            return
        try:
            process = psutil.Process(running.pid)
            process.terminate()
            if psutil.wait_procs([process], KILL_S)[1]:
                log.warning("the gateway does not end and is killed", pid=running.pid)
                process.kill()
        except psutil.NoSuchProcess:
            return

    def _told(self) -> Running | None:
        """What the last one told of itself, unless it ended in order."""
        try:
            return msgspec.json.decode((self._folder / GATEWAY_FILE).read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None

    def _start(self) -> subprocess.Popen[bytes]:
        door = self._door
        argv = [sys.executable, "-P", "-m", "suanli.serving.gateway", "--dir", str(self._folder)]
        argv += ["--host", door.host, "--port", str(self._port), "--workers", str(door.workers)]
        if door.tls_cert is not None and door.tls_key is not None:
            argv += ["--tls-cert", str(door.tls_cert), "--tls-key", str(door.tls_key)]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True
            )
        finally:
            os.close(descriptor)
