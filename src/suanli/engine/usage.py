"""What the process tree of one worker uses, and whether that is more than it may."""

import contextlib
import time

import psutil

from suanli.engine import accelerators
from suanli.engine.cgroups import Limits
from suanli.engine.endings import out_of_memory, too_many_processes
from suanli.engine.messages import End, Usage
from suanli.engine.process import WorkerProcess


class UsageMeter:
    """CPU is measured between two calls. `watched` are the limits that no cgroup holds."""

    def __init__(self, process: WorkerProcess, devices: tuple[int, ...], watched: Limits) -> None:
        self._process = process
        self._devices = devices
        self._watched = watched
        self._cpu_s: dict[int, float] = {}
        self._at_s = time.monotonic()

    def measure(self) -> tuple[Usage, End | None]:
        """The usage now, and the end that it must come to for breaking a limit."""
        tree = self._process.tree()
        rss_bytes = _rss_bytes(tree)
        fraction, memory_bytes = accelerators.usage(self._devices, {process.pid for process in tree})
        usage = Usage(
            cpus=self._cores(tree),
            rss_bytes=rss_bytes,
            accelerator_fraction=fraction,
            accelerator_memory_bytes=memory_bytes,
        )
        return usage, self._excess(tree, rss_bytes)

    def _cores(self, tree: list[psutil.Process]) -> float:
        cpu_s: dict[int, float] = {}
        for process in tree:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                cpu_s[process.pid] = times.user + times.system
        now_s = time.monotonic()
        spent_s = sum(max(0.0, spent - self._cpu_s.get(pid, 0.0)) for pid, spent in cpu_s.items())
        elapsed_s = max(now_s - self._at_s, 1e-3)
        self._cpu_s, self._at_s = cpu_s, now_s
        return spent_s / elapsed_s

    def _excess(self, tree: list[psutil.Process], rss_bytes: int) -> End | None:
        limit, most = self._watched.memory_bytes, self._watched.processes
        if limit and rss_bytes > limit:
            used_bytes = _pss_bytes(tree)
            if used_bytes > limit:
                return out_of_memory(limit, used_bytes)
        if most and len(tree) > most:
            return too_many_processes(most, len(tree))
        return None


def _rss_bytes(tree: list[psutil.Process]) -> int:
    """Cheap, but counts shared pages once for each process."""
    total = 0
    for process in tree:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _pss_bytes(tree: list[psutil.Process]) -> int:
    """Shared pages divided among those who share them. Reads every mapping: for the doubtful case only."""
    total = 0
    for process in tree:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total
