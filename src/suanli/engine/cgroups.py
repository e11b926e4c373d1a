"""Control groups of one worker, v1 or v2, as far as this process may make them; elsewhere watchdogs stand in."""

import contextlib
import re
from pathlib import Path

import msgspec

ROOT = Path("/sys/fs/cgroup")
CPU_PERIOD_US = 100_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker may use; None is unlimited."""

    memory_bytes: int | None = None
    cpus: float | None = None
    processes: int | None = None


class Groups(msgspec.Struct, frozen=True):
    """Folders that the worker's process joins, and which of its limits they hold."""

    folders: tuple[str, ...] = ()
    held: frozenset[str] = frozenset()


def create(name: str, limits: Limits, root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Groups:
    """Groups named after the worker, below the ones of this process. Never raises: what can't be made is not held."""
    name = "suanli." + re.sub(r"[^A-Za-z0-9.-]", "_", name)
    memberships = dict(_memberships(own))
    if (root / "cgroup.controllers").exists():
        return _create_v2(name, limits, root, memberships.get("", "/"))
    return _create_v1(name, limits, root, memberships)


def remove(groups: Groups) -> None:
    """For groups that were never joined; the shim removes those of a process that ran."""
    for folder in groups.folders:
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _create_v1(name: str, limits: Limits, root: Path, memberships: dict[str, str]) -> Groups:
    folders: list[str] = []
    held: set[str] = set()
    for controller, (limit, settings) in _v1_settings(limits).items():
        mount = root / controller
        base = mount / memberships.get(controller, "/").lstrip("/")
        folder = (base if base.is_dir() else mount) / name
        if _make(folder, settings):
            folders.append(str(folder))
            held.add(limit)
    return Groups(tuple(folders), frozenset(held))


def _create_v2(name: str, limits: Limits, root: Path, membership: str) -> Groups:
    """A group with processes in it can't have children with limits, so the root is the second place to try."""
    wanted = _v2_settings(limits)
    for base in (root / membership.lstrip("/"), root):
        with contextlib.suppress(OSError):
            (base / "cgroup.subtree_control").write_text("+memory +cpu +pids")
        folder = base / name
        if wanted and _make(folder, {}):
            held = frozenset(
                limit
                for limit, settings in wanted.items()
                if all(_set(folder / f, v) for f, v in settings.items())
            )
            if held:
                return Groups((str(folder),), held)
            remove(Groups((str(folder),)))
    return Groups()


def _v1_settings(limits: Limits) -> dict[str, tuple[str, dict[str, int]]]:
    settings: dict[str, tuple[str, dict[str, int]]] = {}
    if limits.memory_bytes:
        settings["memory"] = ("memory_bytes", {"memory.limit_in_bytes": limits.memory_bytes})
    if limits.cpus:
        quota_us = max(1_000, int(limits.cpus * CPU_PERIOD_US))
        settings["cpu"] = ("cpus", {"cpu.cfs_period_us": CPU_PERIOD_US, "cpu.cfs_quota_us": quota_us})
    if limits.processes:
        settings["pids"] = ("processes", {"pids.max": limits.processes})
    return settings


def _v2_settings(limits: Limits) -> dict[str, dict[str, int | str]]:
    settings: dict[str, dict[str, int | str]] = {}
    if limits.memory_bytes:
        settings["memory_bytes"] = {"memory.max": limits.memory_bytes}
    if limits.cpus:
        settings["cpus"] = {"cpu.max": f"{max(1_000, int(limits.cpus * CPU_PERIOD_US))} {CPU_PERIOD_US}"}
    if limits.processes:
        settings["processes"] = {"pids.max": limits.processes}
    return settings


def _make(folder: Path, settings: dict[str, int]) -> bool:
    """A group left behind by a former attempt of that name is empty, or else busy and then not ours to take."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return False
    if all(_set(folder / file, value) for file, value in settings.items()):
        return True
    remove(Groups((str(folder),)))
    return False


def _set(file: Path, value: int | str) -> bool:
    try:
        file.write_text(str(value))
    except OSError:
        return False
    return True


def _memberships(own: Path) -> list[tuple[str, str]]:
    """(controller, path) of this process; the controller of v2 is the empty name."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    return [
        (controller, path)
        for _, controllers, path in (line.split(":", 2) for line in lines)
        for controller in controllers.split(",")
    ]
