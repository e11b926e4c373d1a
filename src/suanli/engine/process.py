"""A worker's process as its supervisor holds it: started through the shim, alive only while its lease is renewed."""

import contextlib
import ctypes
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
    """Not thread-safe. The thread that makes one must outlive it: the kernel ties the shim's life to that thread.

    Leases are instants of `shim.boottime_s`.
    """

    def __init__(self, program: Program, lease_until_s: float) -> None:
        self.pid: int | None = None
        self._exit: Exit | None = None
        self._heard = b""
        _adopt_orphans()
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
        """The process and its living descendants."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self._shim.pid).children(recursive=True)
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
        """The shim itself was killed: its child died with it, and what else there was came to us as orphans."""
        self._shim.wait()
        while strays := psutil.Process().children(recursive=True):
            for stray in strays:
                with contextlib.suppress(psutil.NoSuchProcess):
                    stray.kill()
            psutil.wait_procs(strays, timeout=1)
        return Exit(code=128 + signal.SIGKILL)

    def _send(self, line: bytes) -> None:
        """Where the shim has ended or doesn't read any more, `wait` tells; nothing is lost by a message."""
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            if self._control >= 0:
                os.write(self._control, line + b"\n")


def _adopt_orphans() -> None:
    """Descendants that lose their parent come to this process instead of vanishing to init."""
    ctypes.CDLL(None, use_errno=True).prctl(shim.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
