"""A worker's process as its supervisor holds it: started through the shim, alive only while its lease is renewed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys

import msgspec
import psutil

from suanli.engine import shim


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What shall run. `cgroups` are folders that exist; the shim removes them when nothing of the tree is alive."""

    argv: tuple[str, ...]
    env: dict[str, str]
    workdir: str
    log: str
    cgroups: tuple[str, ...] = ()


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended; nothing of its tree is alive. `failed` and `step` tell why it never ran."""

    code: int | None = msgspec.field(name="exit", default=None)
    cut_off: bool = False
    oom_kills: int = 0
    memory_peak_bytes: int = 0
    failed: str = ""
    step: str = ""


class WorkerProcess:
    """Not thread-safe. Leases are instants of `shim.boottime_s`."""

    def __init__(self, program: Program, lease_until_s: float) -> None:
        self.pid: int | None = None
        self._exit: Exit | None = None
        self._heard = b""
        control_read, self._control = os.pipe()
        self._report, report_write = os.pipe()
        try:
            self._shim = subprocess.Popen(
                [sys.executable, "-I", "-S", str(shim.__file__), str(control_read), str(report_write)],
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(control_read, report_write),
                start_new_session=True,
            )
        finally:
            os.close(control_read)
            os.close(report_write)
        self._send(msgspec.json.encode({**msgspec.to_builtins(program), "lease_s": lease_until_s}))
        self._news = select.poll()
        self._news.register(self._report, select.POLLIN)
        os.set_blocking(self._control, False)
        os.set_blocking(self._report, False)

    def renew(self, until_s: float) -> None:
        """The tree may live until then."""
        self._send(f"lease {until_s:.3f}".encode())

    def stop(self, grace_s: float) -> None:
        """SIGTERM now, SIGKILL after the grace. Only the first call counts."""
        self._send(f"stop {grace_s:.3f}".encode())

    def kill(self) -> None:
        """SIGKILL to the whole tree; `wait` tells when it is dead."""
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, once nothing is alive. Returns early when the shim has something to tell."""
        if self._exit is not None:
            return self._exit
        self._news.poll(timeout_s * 1000)
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._report, 65536):
                self._take(chunk)
            if self._exit is None:
                self._exit = self._bury()
        if self._exit is not None:
            self.kill()
            os.close(self._report)
            self._shim.wait()
        return self._exit

    def tree(self) -> list[psutil.Process]:
        """The process and all that came of it: whatever is below the shim's guard, its parent."""
        if self.pid is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            guard = psutil.Process(self.pid).parent()
            return guard.children(recursive=True) if guard else []
        return []

    def _take(self, chunk: bytes) -> None:
        *lines, self._heard = (self._heard + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "started" in message:
                self.pid = message["started"]
            else:
                self._exit = msgspec.convert(message, Exit)

    def _bury(self) -> Exit:
        """The guard was killed: its child died with it, and the outer shim ends once nothing else is left."""
        self._shim.wait()
        return Exit(code=128 + signal.SIGKILL)

    def _send(self, line: bytes) -> None:
        """Where the shim has ended or doesn't read any more, `wait` tells; nothing is lost by a message."""
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            if self._control >= 0:
                os.write(self._control, line + b"\n")
