from pathlib import Path

import pytest

from suanli.telemetry import cgroup

NO_LIMIT_V1 = "9223372036854771712\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_version_2_takes_the_tightest_limit_of_the_group_and_its_ancestors(tmp_path: Path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/suanli.service\n",
            "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
            "sys/fs/cgroup/system.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/system.slice/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            "sys/fs/cgroup/system.slice/memory.max": "max\n",
            "sys/fs/cgroup/system.slice/suanli.service/cpu.max": "max 100000\n",
            "sys/fs/cgroup/system.slice/suanli.service/memory.max": "1000000\n",
            "sys/fs/cgroup/system.slice/suanli.service/memory.current": "700000\n",
            "sys/fs/cgroup/system.slice/suanli.service/memory.stat": "anon 5\ninactive_file 200000\n",
        },
    )
    quota, limit = cgroup.cpu_quota(tmp_path), cgroup.memory_limit(tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_s()) == (1.5, 2.5)
    assert limit is not None
    assert (limit.limit_bytes, limit.used_bytes()) == (1_000_000, 500_000)


def test_version_1_in_a_container_where_the_host_s_path_cannot_be_seen(tmp_path: Path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpuacct/cpuacct.usage": "3000000000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "4000\n",
            "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 1000\n",
        },
    )
    quota, limit = cgroup.cpu_quota(tmp_path), cgroup.memory_limit(tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_s()) == (2.0, 3.0)
    assert limit is not None
    assert (limit.limit_bytes, limit.used_bytes()) == (4096, 3000)


def test_version_1_without_limits(tmp_path: Path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
        },
    )
    assert cgroup.cpu_quota(tmp_path) is None
    limit = cgroup.memory_limit(tmp_path)
    assert limit is not None
    assert limit.limit_bytes > 2**60


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"sys/fs/cgroup/cgroup.controllers": ""},
        {
            "sys/fs/cgroup/cgroup.controllers": "",
            "sys/fs/cgroup/cpu.max": "",
            "sys/fs/cgroup/memory.max": "?",
        },
    ],
)
def test_where_little_can_be_read_there_is_no_limit(tmp_path: Path, files: dict[str, str]):
    write(tmp_path, files)
    assert cgroup.cpu_quota(tmp_path) is None
    assert cgroup.memory_limit(tmp_path) is None


def test_use_that_is_not_counted_is_unknown(tmp_path: Path):
    assert cgroup.CpuQuota(1.0, tmp_path / "cpu.stat").used_s() is None
    assert cgroup.CpuQuota(1.0, tmp_path / "cpuacct.usage").used_s() is None
    assert cgroup.MemoryLimit(1, tmp_path).used_bytes() is None
