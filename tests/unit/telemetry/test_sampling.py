import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from suanli.telemetry import cgroup, nvml, sampling
from suanli.telemetry.sampling import Sampler, sample_node


def spin(seconds: float) -> None:
    until_s = time.process_time() + seconds
    while time.process_time() < until_s:
        pass


def test_a_sample_is_within_its_ranges():
    sample = Sampler("here").sample()
    assert sample.node == "here"
    assert sample.at_s == pytest.approx(time.time(), abs=5)
    assert 0 <= sample.cpu_fraction <= 1
    assert 0 < sample.memory_used_bytes <= psutil.virtual_memory().total
    assert 0 < sample.disk_used_fraction <= 1
    assert sample.network_received_bytes_per_s >= 0


def test_cpu_that_is_used_shows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: None)
    sampler = Sampler("here")
    spin(0.3)
    assert sampler.sample().cpu_fraction >= 0.8 / (os.cpu_count() or 1)


def test_only_cpus_that_this_process_may_use_count(monkeypatch: pytest.MonkeyPatch):
    none = psutil.cpu_times()
    none = none._replace(**dict.fromkeys(none._fields, 0.0))
    counted = [[none, none], [none._replace(user=3.0, idle=1.0), none._replace(idle=4.0)]]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: counted.pop(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: None)
    assert Sampler("here").sample().cpu_fraction == 0.75


def test_within_a_quota_cpu_is_a_fraction_of_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = tmp_path / "cpuacct.usage"
    usage.write_text("0")
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: cgroup.CpuQuota(0.5, usage))
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    sampler = Sampler("here")
    usage.write_text("2000000000")  # 2 s of CPU in 10 s, of which 5 s were allowed
    monkeypatch.setattr(time, "monotonic", lambda: 110.0)
    assert sampler.sample().cpu_fraction == pytest.approx(0.4)


def test_within_a_memory_limit_the_group_s_use_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "memory.current").write_text("5000")
    monkeypatch.setattr(cgroup, "memory_limit", lambda: cgroup.MemoryLimit(10_000, tmp_path))
    assert Sampler("here").sample().memory_used_bytes == 5_000


def test_rates_are_the_bytes_since_the_last_sample_per_second(monkeypatch: pytest.MonkeyPatch):
    traffic = [(0, 0, 0, 0), (100, 20, 1_000, 50), (100, 20, 0, 50)]
    monkeypatch.setattr(sampling, "_traffic", lambda nics: traffic.pop(0))
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    sampler = Sampler("here")
    monkeypatch.setattr(time, "monotonic", lambda: 102.0)
    sample = sampler.sample()
    assert (sample.disk_read_bytes_per_s, sample.disk_write_bytes_per_s) == (50.0, 10.0)
    assert (sample.network_received_bytes_per_s, sample.network_sent_bytes_per_s) == (500.0, 25.0)
    monkeypatch.setattr(time, "monotonic", lambda: 103.0)
    assert sampler.sample().network_received_bytes_per_s == 0.0  # a counter that was reset


def test_where_nobody_counts_disks_there_is_no_traffic(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(psutil, "disk_io_counters", lambda nowrap: None)
    assert Sampler("here").sample().disk_read_bytes_per_s == 0.0


def test_a_quantity_that_one_device_does_not_tell_is_left_out_for_all(monkeypatch: pytest.MonkeyPatch):
    devices = tuple(
        nvml.Device(index=index, name="H200", uuid=str(index), memory_bytes=1, handle=index)
        for index in range(2)
    )
    readings = {
        0: nvml.Reading(fraction=0.5, memory_bytes=10, power_w=100.0),
        1: nvml.Reading(fraction=None, memory_bytes=20, power_w=150.0),
    }
    monkeypatch.setattr(nvml, "devices", lambda: devices)
    monkeypatch.setattr(nvml, "read", lambda device: readings[device.handle])
    sample = Sampler("gpus").sample()
    assert sample.accelerator_fraction == ()
    assert sample.accelerator_memory_bytes == (10, 20)
    assert sample.power_w == 250.0


def test_without_accelerators_power_is_unknown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nvml, "devices", lambda: ())
    assert Sampler("bare").sample().power_w is None


def test_the_function_for_agents_remembers_its_sampler_by_name():
    first, second = sample_node("agent"), sample_node("agent")
    assert second.node == "agent"
    assert second.at_s >= first.at_s


@pytest.mark.speed
def test_a_sample_costs_less_than_5_ms_of_cpu():
    sampler = Sampler("here")
    costs_s = []
    for _ in range(21):
        before_s = time.thread_time()
        sampler.sample()
        costs_s.append(time.thread_time() - before_s)
    assert sorted(costs_s)[10] < 0.005


def test_an_agent_that_imports_it_loads_nothing_heavy():
    heavy = "numpy pydantic ray sqlalchemy structlog prometheus_client"
    program = (
        f"import sys, suanli.telemetry.sampling; print([m for m in {heavy.split()!r} if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
