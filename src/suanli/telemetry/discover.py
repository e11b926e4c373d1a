"""Reads this machine: what a node made of it has. Tolerant of containers, where much of `/sys` is missing."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from suanli.domain.fleet import Node, Storage
from suanli.telemetry import cgroup, nvml

_SECTOR_BYTES = 512
"""The unit of /sys/block/*/size, whatever the device's own sectors are."""

_SPEEDS_UNKNOWN = (-1, 0, 65_535)
"""What the kernel, psutil and virtual interfaces say for a speed that nobody knows, in Mbit/s."""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A block device. `holds_folder`: the working folder's file system lies on it."""

    name: str
    model: str
    capacity_bytes: int
    spins: bool
    holds_folder: bool


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface that is up. `speed_bps` is 0 where it isn't known."""

    name: str
    speed_bps: float
    mtu_bytes: int


class Accelerator(msgspec.Struct, frozen=True, kw_only=True):
    """`model` is the catalogue's name, `reported` the driver's."""

    index: int
    model: str
    reported: str
    memory_bytes: int
    uuid: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found. `cpus` and `memory_bytes` are what this process may use of the machine's.

    `disk_free_bytes` is of the file system that holds `folder`.
    """

    cpus: float
    machine_cpus: int
    memory_bytes: int
    machine_memory_bytes: int
    folder: str
    disk_free_bytes: int
    disks: tuple[Disk, ...]
    interfaces: tuple[Interface, ...]
    accelerators: tuple[Accelerator, ...]


def discover(name: str, lookup: Callable[[str], str] = str, folder: Path | None = None) -> Node:
    """This machine as a node. `disk_bytes` is what is free now where `folder` lies: the rest is others' already."""
    report = discover_report(lookup, folder)
    return Node(
        name=name,
        cpus=report.cpus,
        memory_bytes=report.memory_bytes,
        accelerators=tuple(accelerator.model for accelerator in report.accelerators),
        disk_bytes=report.disk_free_bytes,
        storage=tuple(
            Storage(name=disk.name, capacity_bytes=disk.capacity_bytes, spins=disk.spins)
            for disk in report.disks
        ),
        network_bps=max((interface.speed_bps for interface in report.interfaces), default=0.0),
    )


def discover_report(
    lookup: Callable[[str], str] = str, folder: Path | None = None, root: Path = cgroup.ROOT
) -> Report:
    """The same in full. `lookup` turns a driver's name of an accelerator into the catalogue's."""
    folder = (folder or Path.cwd()).resolve()
    memory_bytes, limit = psutil.virtual_memory().total, cgroup.memory_limit(root)
    return Report(
        cpus=usable_cpus(root),
        machine_cpus=os.cpu_count() or 1,
        memory_bytes=min(memory_bytes, limit.limit_bytes) if limit else memory_bytes,
        machine_memory_bytes=memory_bytes,
        folder=str(folder),
        disk_free_bytes=shutil.disk_usage(folder).free,
        disks=disks(folder, root),
        interfaces=interfaces(root),
        accelerators=tuple(
            Accelerator(
                index=device.index,
                model=lookup(device.name),
                reported=device.name,
                memory_bytes=device.memory_bytes,
                uuid=device.uuid,
            )
            for device in nvml.devices()
        ),
    )


def usable_cpus(root: Path = cgroup.ROOT) -> float:
    """Cores that this process may use at once, by its affinity and its control group's quota."""
    allowed = float(len(os.sched_getaffinity(0)))
    quota = cgroup.cpu_quota(root)
    return min(allowed, quota.cores) if quota else allowed


def disks(folder: Path, root: Path = cgroup.ROOT) -> tuple[Disk, ...]:
    """Fixed disks; no loop or memory devices, no mapped volumes (the disks below them are there), no sticks."""
    blocks = root / "sys/block"
    holding = _disks_under(_device_of(folder), root)
    found = sorted(blocks.iterdir()) if blocks.is_dir() else []
    return tuple(
        Disk(
            name=block.name,
            model=_text(block / "device/model"),
            capacity_bytes=int(_text(block / "size") or 0) * _SECTOR_BYTES,
            spins=_text(block / "queue/rotational") == "1",
            holds_folder=block.name in holding,
        )
        for block in found
        if (block / "device").exists()
        and _text(block / "removable") != "1"
        and _text(block / "hidden") != "1"
    )


def interfaces(root: Path = cgroup.ROOT) -> tuple[Interface, ...]:
    """Those with hardware behind them; in a container, which sees none, all but loopback."""
    up = {name: stats for name, stats in psutil.net_if_stats().items() if stats.isup and name != "lo"}
    physical = {
        name: stats for name, stats in up.items() if (root / "sys/class/net" / name / "device").exists()
    }
    return tuple(
        Interface(
            name=name,
            speed_bps=0.0 if stats.speed in _SPEEDS_UNKNOWN else stats.speed * 1e6,
            mtu_bytes=stats.mtu,
        )
        for name, stats in sorted((physical or up).items())
    )


def _device_of(folder: Path) -> str:
    """Name of the block device that is mounted nearest above the folder, empty where no device is behind it."""
    above = {str(folder), *map(str, folder.parents)}
    mounts = [part for part in psutil.disk_partitions(all=True) if part.mountpoint in above]
    if not mounts:
        return ""
    nearest = max(
        reversed(mounts), key=lambda part: len(part.mountpoint)
    )  # a later mount hides an earlier one
    return Path(nearest.device).resolve().name if nearest.device.startswith("/dev/") else ""


def _disks_under(device: str, root: Path) -> set[str]:
    """Whole disks below a device: its own, its partition's, or all those of a mapped or RAID volume."""
    if not device:
        return set()
    entry = (root / "sys/class/block" / device).resolve()
    if (entry / "partition").exists():
        return {entry.parent.name}
    slaves = entry / "slaves"
    below = [slave.name for slave in slaves.iterdir()] if slaves.is_dir() else []
    return set().union(*(_disks_under(name, root) for name in below)) if below else {entry.name}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
