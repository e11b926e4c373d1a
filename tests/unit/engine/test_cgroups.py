"""Which control groups are made, on machines that let us make all, some or none of them."""

from pathlib import Path

import pytest

from suanli.engine.cgroups import Groups, Limits, create, remove

LIMITS = Limits(memory_bytes=2**20, cpus=1.5, processes=7)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


def v1(tmp_path: Path, own: Path, **controllers: str) -> Path:
    """A tree in which this process is where `controllers` says."""
    root = tmp_path / "cgroup"
    for controller, path in controllers.items():
        (root / controller / path.lstrip("/")).mkdir(parents=True)
    own.write_text("".join(f"1:{controller}:{path}\n" for controller, path in controllers.items()))
    return root


def test_v1_makes_one_group_per_controller_below_its_own(tmp_path: Path, own: Path) -> None:
    root = v1(tmp_path, own, memory="/mine", cpu="/", pids="/")
    groups = create("job/0.1.0", LIMITS, root, own)
    assert groups.held == {"memory_bytes", "cpus", "processes"}
    folder = root / "memory" / "mine" / "suanli.job_0.1.0"
    assert str(folder) in groups.folders
    assert (folder / "memory.limit_in_bytes").read_text() == str(2**20)
    assert (root / "cpu" / "suanli.job_0.1.0" / "cpu.cfs_quota_us").read_text() == "150000"
    assert (root / "pids" / "suanli.job_0.1.0" / "pids.max").read_text() == "7"


def test_v1_holds_only_what_it_has_controllers_for(tmp_path: Path, own: Path) -> None:
    root = v1(tmp_path, own, cpu="/")
    assert create("job", LIMITS, root, own).held == {"cpus"}


def test_v2_makes_one_group_for_all(tmp_path: Path, own: Path) -> None:
    root = tmp_path / "cgroup"
    (root / "mine").mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpu memory pids")
    own.write_text("0::/mine\n")
    groups = create("job", LIMITS, root, own)
    folder = root / "mine" / "suanli.job"
    assert groups == Groups((str(folder),), frozenset({"memory_bytes", "cpus", "processes"}))
    assert (folder / "cpu.max").read_text() == "150000 100000"
    assert (folder / "memory.max").read_text() == str(2**20)


@pytest.mark.parametrize("limits", [LIMITS, Limits()])
def test_where_nothing_can_be_made_nothing_is_held(tmp_path: Path, own: Path, limits: Limits) -> None:
    assert create("job", limits, tmp_path / "nothing", own) == Groups()


def test_what_was_made_and_not_used_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "suanli.job"
    folder.mkdir()
    remove(Groups((str(folder), str(tmp_path / "gone")), frozenset()))
    assert not folder.exists()
