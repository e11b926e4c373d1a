"""How busy this machine is now. Cheap enough for every second, and light to import where an agent runs."""

import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from suanli.domain.observation import NodeSample
from suanli.telemetry import cgroup, nvml
from suanli.telemetry.discover import interfaces

_T = TypeVar("_T")


def sample_node(node_name: str) -> NodeSample:
    """One sample of this machine; rates cover the time since this process's previous call for that name."""
    return _sampler(node_name).sample()


@functools.cache
def _sampler(node_name: str) -> "Sampler":
    return Sampler(node_name)


class Sampler:
    """Measures by differences: each sample covers the time since the one before it, the first since its making.

    The node is what this process may use: within a control group's quota or limit, fractions are of those. Where a
    device of several doesn't tell a quantity, that quantity is left out for all, so that positions keep their meaning.
    """

    def __init__(self, node_name: str, folder: Path | None = None) -> None:
        self._node_name = node_name
        self._folder = str(folder or Path.cwd())
        self._nics = [interface.name for interface in interfaces()]
        self._devices = nvml.devices()
        self._cpu = _Fraction(_cpu_reader())
        self._memory_used_bytes = _memory_reader()
        self._traffic, self._traffic_at_s = _traffic(self._nics), time.monotonic()

    def sample(self) -> NodeSample:
        read, written, received, sent = self._rates()
        readings = [nvml.read(device) for device in self._devices]
        powers_w = _all_or_none([reading.power_w for reading in readings])
        return NodeSample(
            node=self._node_name,
            at_s=time.time(),
            cpu_fraction=self._cpu.since_last(),
            memory_used_bytes=self._memory_used_bytes(),
            disk_used_fraction=psutil.disk_usage(self._folder).percent / 100,
            disk_read_bytes_per_s=read,
            disk_write_bytes_per_s=written,
            network_received_bytes_per_s=received,
            network_sent_bytes_per_s=sent,
            accelerator_fraction=_all_or_none([reading.fraction for reading in readings]),
            accelerator_memory_bytes=_all_or_none([reading.memory_bytes for reading in readings]),
            power_w=sum(powers_w) if powers_w else None,
        )

    def _rates(self) -> tuple[float, ...]:
        now_s, traffic = time.monotonic(), _traffic(self._nics)
        elapsed_s = max(now_s - self._traffic_at_s, 1e-3)
        rates = tuple(max(0, new - old) / elapsed_s for new, old in zip(traffic, self._traffic, strict=True))
        self._traffic, self._traffic_at_s = traffic, now_s
        return rates


class _Fraction:
    """Growth of one counter over the growth of another; keeps its value while the second stands still."""

    def __init__(self, read: Callable[[], tuple[float, float]]) -> None:
        self._read = read
        self._last = read()
        self._value = 0.0

    def since_last(self) -> float:
        part, whole = self._read()
        if whole > self._last[1]:
            self._value = min(1.0, max(0.0, (part - self._last[0]) / (whole - self._last[1])))
            self._last = part, whole
        return self._value


def _cpu_reader() -> Callable[[], tuple[float, float]]:
    """(CPU seconds used, CPU seconds that could have been used) so far."""
    allowed, quota = os.sched_getaffinity(0), cgroup.cpu_quota()
    if quota and quota.cores < len(allowed) and quota.used_s() is not None:
        return lambda: (quota.used_s() or 0.0, time.monotonic() * quota.cores)
    if len(allowed) == os.cpu_count():
        return lambda: _busy_and_total([psutil.cpu_times()])
    return lambda: _busy_and_total(psutil.cpu_times(percpu=True), allowed)


def _busy_and_total(times: Sequence[Any], allowed: set[int] | None = None) -> tuple[float, float]:
    busy_s = total_s = 0.0
    for cpu, t in enumerate(times):
        if allowed is None or cpu in allowed:
            spent_s = sum(t) - t.guest - t.guest_nice  # Linux counts both in user and nice already
            busy_s, total_s = busy_s + spent_s - t.idle - t.iowait, total_s + spent_s
    return busy_s, total_s


def _memory_reader() -> Callable[[], int]:
    limit = cgroup.memory_limit()
    if limit and limit.limit_bytes < psutil.virtual_memory().total and limit.used_bytes() is not None:
        return lambda: limit.used_bytes() or 0
    return _machine_memory_used_bytes


def _machine_memory_used_bytes() -> int:
    memory = psutil.virtual_memory()
    return memory.total - memory.available


def _traffic(nics: list[str]) -> tuple[int, int, int, int]:
    """Bytes so far: read and written on disks, received and sent on the network. 0 where nobody counts."""
    disk = psutil.disk_io_counters(nowrap=False)
    counted = psutil.net_io_counters(pernic=True, nowrap=False)
    network = [counted[name] for name in nics if name in counted]
    return (
        disk.read_bytes if disk else 0,
        disk.write_bytes if disk else 0,
        sum(nic.bytes_recv for nic in network),
        sum(nic.bytes_sent for nic in network),
    )


def _all_or_none(values: list[_T | None]) -> tuple[_T, ...]:
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else ()
