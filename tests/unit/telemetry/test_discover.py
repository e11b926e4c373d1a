import os
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from suanli.telemetry import discover as d
from suanli.telemetry import nvml

Mount = namedtuple("Mount", "device mountpoint")


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_disk(root: Path, name: str, *, sectors: int = 2_000, spins: str = "0", physical: bool = True) -> Path:
    block = root / "sys/devices" / name
    write(block / "size", f"{sectors}\n")
    write(block / "queue/rotational", f"{spins}\n")
    if physical:
        write(block / "device/model", f"Model of {name}  \n")
    for listing in ("block", "class/block"):
        link = root / "sys" / listing / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(block)
    return block


def add_partition(root: Path, disk: Path, name: str) -> None:
    write(disk / name / "partition", "1\n")
    (root / "sys/class/block" / name).symlink_to(disk / name)


def mount(monkeypatch: pytest.MonkeyPatch, *mounts: Mount) -> None:
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: list(mounts))  # noqa: A006


def test_this_machine_is_a_node():
    node = d.discover("here")
    assert node.name == "here"
    assert 0 < node.cpus <= (os.cpu_count() or 1)
    assert 0 < node.memory_bytes <= psutil.virtual_memory().total
    assert node.disk_bytes > 0


def test_the_report_of_this_machine_says_where_it_looked():
    report = d.discover_report()
    assert report.folder == str(Path.cwd())
    assert report.memory_bytes <= report.machine_memory_bytes
    assert report.cpus <= report.machine_cpus


def test_accelerators_go_by_the_names_that_the_lookup_gives(monkeypatch: pytest.MonkeyPatch):
    device = nvml.Device(index=1, name="NVIDIA H200", uuid="GPU-1", memory_bytes=141 * 10**9, handle=None)
    monkeypatch.setattr(nvml, "devices", lambda: (device,))
    node = d.discover("gpu", lookup=lambda name: name.removeprefix("NVIDIA "))
    assert node.accelerators == ("H200",)
    (found,) = d.discover_report().accelerators
    assert (found.reported, found.memory_bytes, found.index) == ("NVIDIA H200", 141 * 10**9, 1)


def test_a_control_group_s_limits_are_what_the_node_has(tmp_path: Path):
    write(tmp_path / "sys/fs/cgroup/cgroup.controllers")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "50000 100000")
    write(tmp_path / "sys/fs/cgroup/memory.max", "123456789")
    report = d.discover_report(root=tmp_path)
    assert report.cpus == 0.5
    assert report.memory_bytes == 123_456_789


def test_cpu_affinity_limits_the_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert d.usable_cpus(tmp_path) == 1.0


def test_disks_are_told_with_capacity_and_whether_they_spin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mount(monkeypatch, Mount("/dev/nvme0n1p2", "/"), Mount("proc", "/proc"))
    nvme = add_disk(tmp_path, "nvme0n1")
    add_partition(tmp_path, nvme, "nvme0n1p2")
    add_disk(tmp_path, "sda", sectors=4_000, spins="1")
    add_disk(tmp_path, "loop0", physical=False)
    write(add_disk(tmp_path, "sdb") / "removable", "1")
    write(add_disk(tmp_path, "nvme0c0n1") / "hidden", "1")
    assert d.disks(Path("/data"), tmp_path) == (
        d.Disk(
            name="nvme0n1",
            model="Model of nvme0n1",
            capacity_bytes=1_024_000,
            spins=False,
            holds_folder=True,
        ),
        d.Disk(name="sda", model="Model of sda", capacity_bytes=2_048_000, spins=True, holds_folder=False),
    )


def test_a_folder_on_a_mapped_volume_lies_on_every_disk_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mount(monkeypatch, Mount("/dev/sdz", "/"), Mount("/dev/dm-0", "/data"))
    for name in ("sda", "sdb", "sdz"):
        add_partition(tmp_path, add_disk(tmp_path, name), f"{name}1")
    volume = add_disk(tmp_path, "dm-0", physical=False)
    for name in ("sda1", "sdb1"):
        write(volume / "slaves" / name)
    holding = {disk.name for disk in d.disks(Path("/data/runs"), tmp_path) if disk.holds_folder}
    assert holding == {"sda", "sdb"}


def test_a_container_s_overlay_lies_on_no_disk_that_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mount(monkeypatch, Mount("overlay", "/"))
    add_disk(tmp_path, "sda")
    assert [disk.holds_folder for disk in d.disks(Path("/data"), tmp_path)] == [False]
    assert d.disks(Path("/data"), tmp_path / "nothing") == ()


Stats = namedtuple("Stats", "isup speed mtu")
NICS = {
    "lo": Stats(True, 0, 65_536),
    "eth0": Stats(True, 25_000, 9_000),
    "eth1": Stats(False, 100_000, 1_500),
    "docker0": Stats(True, 10_000, 1_500),
    "ens5": Stats(True, 65_535, 1_500),
}


def test_interfaces_with_hardware_count_and_a_speed_nobody_knows_is_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(psutil, "net_if_stats", lambda: NICS)
    for name in ("eth0", "ens5"):
        (tmp_path / "sys/class/net" / name / "device").mkdir(parents=True)
    assert d.interfaces(tmp_path) == (
        d.Interface(name="ens5", speed_bps=0.0, mtu_bytes=1_500),
        d.Interface(name="eth0", speed_bps=25e9, mtu_bytes=9_000),
    )


def test_where_no_interface_has_hardware_all_but_loopback_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(psutil, "net_if_stats", lambda: NICS)
    assert [interface.name for interface in d.interfaces(tmp_path)] == ["docker0", "ens5", "eth0"]
