"""What the control group of this process may use and does use: the node as a container or a service unit sees it.

Version 1 and 2, with or without a cgroup namespace. A limit may sit on any ancestor; the tightest one counts. A file
that is missing or unreadable is no limit. `root` stands for `/`.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path("/")


class CpuQuota(msgspec.Struct, frozen=True):
    """`cores` of CPU time per second, and the file that counts what the group has used."""

    cores: float
    usage_file: Path

    def used_s(self) -> float | None:
        """CPU seconds used so far by the whole group; None where it isn't counted."""
        if self.usage_file.name == "cpu.stat":
            microseconds = _fields(self.usage_file).get("usage_usec")
            return None if microseconds is None else microseconds / 1e6
        nanoseconds = _number(self.usage_file)
        return None if nanoseconds is None else nanoseconds / 1e9


class MemoryLimit(msgspec.Struct, frozen=True):
    """`limit_bytes` of the group, and the folder where its use is told."""

    limit_bytes: int
    folder: Path

    def used_bytes(self) -> int | None:
        """What the group holds and can't give back at once: its use less the file cache nobody touched lately."""
        for use, inactive in (
            ("memory.current", "inactive_file"),
            ("memory.usage_in_bytes", "total_inactive_file"),
        ):
            used = _number(self.folder / use)
            if used is not None:
                cached = _fields(self.folder / "memory.stat").get(inactive, 0)
                return int(max(0, used - cached))
        return None


def cpu_quota(root: Path = ROOT) -> CpuQuota | None:
    """The tightest CPU quota over this process, None where there is none."""
    quotas = [
        CpuQuota(cores, folder / "cpu.stat") for folder in _unified(root) if (cores := _cores_v2(folder))
    ]
    accounting = _mount(root, "cpuacct")
    for folder in _folders(root, "cpu"):
        if cores := _cores_v1(folder):
            usage = accounting / folder.relative_to(_mount(root, "cpu")) / "cpuacct.usage"
            quotas.append(CpuQuota(cores, usage))
    return min(quotas, key=lambda quota: quota.cores, default=None)


def memory_limit(root: Path = ROOT) -> MemoryLimit | None:
    """The tightest memory limit over this process, None where there is none."""
    limits = [(_number(folder / "memory.max"), folder) for folder in _unified(root)]
    limits += [(_number(folder / "memory.limit_in_bytes"), folder) for folder in _folders(root, "memory")]
    known = [MemoryLimit(int(limit), folder) for limit, folder in limits if limit is not None]
    return min(known, key=lambda limit: limit.limit_bytes, default=None)


def _cores_v2(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _cores_v1(folder: Path) -> float | None:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _unified(root: Path) -> Iterator[Path]:
    """This process's version 2 group and its ancestors."""
    mount = root / "sys/fs/cgroup"
    if (mount / "cgroup.controllers").exists():
        yield from _upward(mount, _group(root, ""))


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """This process's version 1 group of a controller and its ancestors."""
    mount = _mount(root, controller)
    if mount.is_dir():
        yield from _upward(mount, _group(root, controller))


def _mount(root: Path, controller: str) -> Path:
    return root / "sys/fs/cgroup" / controller


def _group(root: Path, controller: str) -> str:
    """The path in `/proc/self/cgroup`; inside a container it may be one that only the host can see."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.strip("/")
    return ""


def _upward(mount: Path, group: str) -> Iterator[Path]:
    folder = mount / group
    while folder != mount:
        if folder.is_dir():
            yield folder
        folder = folder.parent
    yield mount


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:  # absent, or "max"
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
