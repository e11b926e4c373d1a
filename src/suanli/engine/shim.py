"""The parent of one user's process: keeps it within a tree of its own and makes sure that no part outlives its due.

Run as `python -I -S shim.py CONTROL REPORT` with two inherited pipe ends, standard library only, one thread.

CONTROL, from the supervisor: first a line of JSON (argv, env, workdir, log, cgroups, lease_s), then lines
    lease SECONDS   the tree may live until then (CLOCK_BOOTTIME)
    stop SECONDS    SIGTERM to the process group now, SIGKILL to the tree after that long
and the end of the pipe, which kills the tree: so a worker dies with its supervisor, whatever killed that.

REPORT, to the supervisor, lines of JSON: {"started": pid}, or {"failed": sentence, "step": word}; at last, once nothing
of the tree is alive, {"exit": code, "cut_off": bool, "oom_kills": n, "memory_peak_bytes": n}.
"""

# ruff: noqa: PTH106, PTH118, PTH123, PTH208, SIM105, S606 - every worker pays for what is imported here

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
TICK_S = 0.5


def main(control: int, report: int) -> None:
    """Two processes, each of which survives the other: Ray kills the children of an actor that ends, in no order.

    The guard does all the work. The outer one only waits for it, and kills what it left behind if it was killed.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # descendants that lose their parent become children of this process
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    guard = os.fork()
    if guard == 0:
        os.set_inheritable(control, False)
        os.set_inheritable(report, False)
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        _guard(control, report)
        return
    os.close(control)
    os.close(report)
    os.waitpid(guard, 0)
    _Tree(guard).kill()


def _guard(control: int, report: int) -> None:
    line, rest = _first_line(control)
    spec = json.loads(line)
    in_time = boottime_s() < spec["lease_s"]
    pid, failure = _spawn(spec) if in_time else (0, {"exit": None, "cut_off": True})
    if failure:
        _remove_cgroups(spec["cgroups"])
        _tell(report, failure)
        return
    _tell(report, {"started": pid})
    tree = _Tree(pid)
    _watch(tree, control, rest, spec["lease_s"])
    tree.kill()
    usage = _memory_usage(spec["cgroups"])
    _remove_cgroups(spec["cgroups"])
    _tell(report, {"exit": tree.exit_code, "cut_off": tree.cut_off, **usage})


def boottime_s() -> float:
    """Seconds that go on during suspend and that no clock adjustment moves; the same for all processes of a host."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Tree:
    """The process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exit_code: int | None = None
        self.cut_off = False  # killed because the lease ran out

    def reap(self) -> bool:
        """Collect what has ended; whether the process itself has."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self.exit_code is not None
            if pid == 0:
                return self.exit_code is not None
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """SIGTERM to the whole group, stopped members too."""
        if self.exit_code is None:
            for number in (signal.SIGTERM, signal.SIGCONT):
                _signal_group(self.pid, number)

    def kill(self) -> None:
        """Returns once nothing is alive. Stopping everything first keeps a fork bomb from outrunning the kill."""
        pause_s = 0.002
        while True:
            stopped: set[int] = set()
            while fresh := _descendants(os.getpid()) - stopped:
                for pid in fresh:
                    _signal(pid, signal.SIGSTOP)
                stopped |= fresh
            for pid in stopped:
                _signal(pid, signal.SIGKILL)
            self.reap()
            if not stopped:
                return
            time.sleep(pause_s)
            pause_s = min(0.2, 2 * pause_s)


def _watch(tree: _Tree, control: int, lines: bytes, lease_s: float) -> None:
    """Until the process has ended, or the tree must not live on."""
    wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    kill_s = float("inf")
    while not tree.reap():
        *complete, lines = lines.split(b"\n")
        for line in complete:
            word, seconds = line.split()
            if word == b"lease":
                lease_s = float(seconds)
            elif word == b"stop" and kill_s == float("inf"):
                kill_s = boottime_s() + float(seconds)
                tree.terminate()
        now_s = boottime_s()
        tree.cut_off = now_s >= lease_s
        if tree.cut_off or now_s >= kill_s:
            return
        ready, _, _ = select.select(
            [control, wake_read], [], [], min(TICK_S, lease_s - now_s, kill_s - now_s)
        )
        if wake_read in ready:
            os.read(wake_read, 4096)
        if control in ready:
            chunk = os.read(control, 65536)
            if not chunk:
                return
            lines += chunk


def _spawn(spec: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """Pid of the user's process, and what kept it from becoming what was asked."""
    error_read, error_write = os.pipe2(os.O_CLOEXEC)
    shim = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(spec, shim, error_write)
    os.close(error_write)
    with os.fdopen(error_read, "rb") as pipe:
        failure = pipe.read()
    if not failure:
        return pid, None
    os.waitpid(pid, 0)
    return pid, json.loads(failure)


def _become(spec: dict[str, Any], shim: int, error_write: int) -> NoReturn:
    """The rest of the child's life before exec. Any failure is told through the pipe that exec closes."""
    step, what = "process", "make a session"
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != shim:
            os._exit(1)
        _reset_signals()
        step = "cgroup"
        for group in spec["cgroups"]:
            what = f"join {group}"
            _write(os.path.join(group, "cgroup.procs"), b"0")
        step, what = "log", f"open the log {spec['log']}"
        _redirect(spec["log"])
        step, what = "workdir", f"enter the workdir {spec['workdir']}"
        os.chdir(spec["workdir"])
        step, what = "run", f"run {spec['argv'][0]}"
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])
    except BaseException as error:  # noqa: BLE001 - whatever it is, the child must end here and say why
        reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        os.write(error_write, json.dumps({"failed": f"cannot {what}: {reason}", "step": step}).encode())
    os._exit(127)


def _reset_signals() -> None:
    """Ray's processes block SIGINT and Python ignores SIGPIPE; a program expects neither."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)


def _redirect(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


def _descendants(root: int) -> set[int]:
    """All living processes below `root`, which itself is not among them. O(processes of the machine)."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = _parent_of_living(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry))
    found: set[int] = set()
    below = [root]
    while below:
        for pid in children.get(below.pop(), ()):
            found.add(pid)
            below.append(pid)
    return found


def _parent_of_living(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[1])


def _memory_usage(cgroups: list[str]) -> dict[str, int]:
    """How often the kernel killed for memory and the most that was used, as far as there is a group that counts."""
    usage: dict[str, int] = {}
    for group in cgroups:
        for name in ("memory.events", "memory.oom_control"):
            for line in _read(os.path.join(group, name)).splitlines():
                if line.startswith("oom_kill "):
                    usage["oom_kills"] = int(line.split()[1])
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            if text := _read(os.path.join(group, name)):
                usage["memory_peak_bytes"] = int(text)
    return usage


def _remove_cgroups(cgroups: list[str]) -> None:
    for group in cgroups:
        for _ in range(50):  # the kernel lets go of the dead a little later
            try:
                os.rmdir(group)
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)


def _first_line(control: int) -> tuple[bytes, bytes]:
    received = b""
    while b"\n" not in received:
        chunk = os.read(control, 65536)
        if not chunk:
            sys.exit(1)
        received += chunk
    line, _, rest = received.partition(b"\n")
    return line, rest


def _tell(report: int, message: dict[str, Any]) -> None:
    try:
        os.write(report, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:  # the supervisor is gone, and with it whom to tell
        pass


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or another user's now: the caller looks again
        pass


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
