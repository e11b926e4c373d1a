"""Two hosts on one machine: a network namespace each, and a third with the switch between them. Cables can be cut.

Disk and process ids are shared, so that a test can see what runs on either host while the network between them is gone.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ADDRESSES = {"a": "10.77.0.1", "b": "10.77.0.2"}
"""They exist within the namespaces alone."""

_PREFIX = "suanli-test"
_NAMED = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


class NoNamespaces(Exception):
    """This machine has no network namespaces to give."""


@contextmanager
def two_hosts() -> Iterator[None]:
    """Hosts `a` and `b`, connected. Whatever runs in them at the end is killed. Raises NoNamespaces."""
    if os.geteuid() != 0:
        raise NoNamespaces("network namespaces are made by root alone")
    if shutil.which("ip") is None:
        raise NoNamespaces("the command `ip` (iproute2) is not installed")
    _clear_leftovers()
    try:
        try:
            _build()
        except OSError as error:
            raise NoNamespaces(str(error)) from error
        yield
    finally:
        for namespace in _namespaces(os.getpid()):
            _clear(namespace)


def cut(host: str) -> None:
    """Pull the host's cable out of the switch; the host itself keeps its addresses and routes."""
    _ip("-n", _namespace("switch"), "link", "set", "dev", f"port-{host}", "down")


def heal(host: str) -> None:
    _ip("-n", _namespace("switch"), "link", "set", "dev", f"port-{host}", "up")


@contextmanager
def inside(host: str) -> Iterator[None]:
    """The calling thread is on that host meanwhile; the threads and processes that it starts there stay there."""
    with Path("/proc/thread-self/ns/net").open() as here, (_NAMED / _namespace(host)).open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def launcher(host: str) -> list[str]:
    """What is put before an argv to run it on that host."""
    return ["ip", "netns", "exec", _namespace(host)]


def processes(host: str) -> list[int]:
    return _processes(_namespace(host))


def _build() -> None:
    for name in ("switch", *ADDRESSES):
        _ip("netns", "add", _namespace(name))
    switch = _namespace("switch")
    _ip("-n", switch, "link", "add", "dev", "bridge", "type", "bridge")
    _ip("-n", switch, "link", "set", "dev", "bridge", "up")
    for host, address in ADDRESSES.items():
        there, port = _namespace(host), f"port-{host}"
        cable = ("dev", port, "type", "veth", "peer", "name", "eth0", "netns", there)
        _ip("-n", switch, "link", "add", *cable)
        _ip("-n", switch, "link", "set", "dev", port, "master", "bridge", "up")
        _ip("-n", there, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", there, "link", "set", "dev", device, "up")


def _clear_leftovers() -> None:
    """Of earlier runs that were killed."""
    for file in _NAMED.glob(f"{_PREFIX}-*") if _NAMED.is_dir() else ():
        owner = int(file.name.removeprefix(f"{_PREFIX}-").partition("-")[0])
        if not Path(f"/proc/{owner}").exists():
            _clear(file.name)


def _clear(namespace: str) -> None:
    """The cables go with the namespaces that they end in."""
    deadline_s = time.monotonic() + 10
    while (pids := _processes(namespace)) and time.monotonic() < deadline_s:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    _ip("netns", "delete", namespace)


def _namespaces(owner: int) -> list[str]:
    return [file.name for file in _NAMED.glob(f"{_PREFIX}-{owner}-*")]


def _namespace(name: str) -> str:
    return f"{_PREFIX}-{os.getpid()}-{name}"


def _processes(namespace: str) -> list[int]:
    """Except this one, whose threads may be anywhere."""
    return [pid for pid in map(int, _ip("netns", "pids", namespace).split()) if pid != os.getpid()]


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"`ip {' '.join(words)}` says: {done.stderr.strip()}")
    return done.stdout


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns failed")
