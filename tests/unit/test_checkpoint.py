import fcntl
import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from suanli import commit_checkpoint, latest_checkpoint
from suanli.domain.errors import StaleWrite, Unavailable

EFFECTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "fcntl.flock"}
KILLED = 9


@pytest.fixture(autouse=True)
def outside_suanli(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUANLI_ATTEMPT", "SUANLI_WORKLOAD", "SUANLI_OUTPUT_DIR", "SUANLI_PROGRESS_FILE"):
        monkeypatch.delenv(name, raising=False)


def become(monkeypatch: pytest.MonkeyPatch, attempt: int, output: Path, workload: str = "gpt") -> None:
    monkeypatch.setenv("SUANLI_ATTEMPT", str(attempt))
    monkeypatch.setenv("SUANLI_WORKLOAD", workload)
    monkeypatch.setenv("SUANLI_OUTPUT_DIR", str(output))


def commit(folder: Path, step: int) -> Path:
    def write(draft: Path) -> None:
        (draft / "weights").write_text(f"weights of {step}")
        (draft / "shards").mkdir()
        (draft / "shards" / "0").write_text(f"optimiser of {step}")

    return commit_checkpoint(folder, step, write)


def content(checkpoint: Path | None) -> tuple[str, str] | None:
    if checkpoint is None:
        return None
    return (checkpoint / "weights").read_text(), (checkpoint / "shards" / "0").read_text()


def whole(step: int) -> tuple[str, str]:
    return f"weights of {step}", f"optimiser of {step}"


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_a_folder_without_checkpoints_has_no_latest(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_the_latest_checkpoint_is_the_one_committed_last(tmp_path: Path) -> None:
    assert commit(tmp_path, 123) == tmp_path / "step-00000123"
    assert content(latest_checkpoint(tmp_path)) == whole(123)
    assert json.loads((tmp_path / "latest.json").read_text())["step"] == 123


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        commit(tmp_path, step)
    assert visible(tmp_path) == ["step-00000030", "step-00000040"]


def test_a_run_that_starts_over_in_the_same_folder_keeps_its_own_earlier_steps(tmp_path: Path) -> None:
    for step in (10, 20, 10, 20):
        commit(tmp_path, step)
    assert content(latest_checkpoint(tmp_path)) == whole(20)
    assert len(visible(tmp_path)) == 2


def test_a_write_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    commit(tmp_path, 10)

    def full_disk(draft: Path) -> None:
        (draft / "weights").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        commit_checkpoint(tmp_path, 20, full_disk)
    assert visible(tmp_path) == ["step-00000010"]
    assert content(latest_checkpoint(tmp_path)) == whole(10)


def crash_before(effect: int, folder: Path, step: int) -> bool:
    """Commit in a child process that dies before its effect of that number on the disk; False if it had fewer."""
    child = os.fork()
    if child == 0:
        left = effect

        def die(event: str, _: object) -> None:
            nonlocal left
            if event in EFFECTS:
                left -= 1
                if left < 0:
                    os._exit(KILLED)

        sys.addaudithook(die)
        commit(folder, step)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED)
    return code == KILLED


def test_a_crash_at_any_effect_leaves_the_old_or_the_new_checkpoint_whole(tmp_path: Path) -> None:
    effect, seen = 0, set[int]()
    while True:
        folder = tmp_path / str(effect)
        commit(folder, 10)
        commit(folder, 20)
        crashed = crash_before(effect, folder, 30)
        found = content(latest_checkpoint(folder))
        assert found in (whole(20), whole(30))
        seen.add(20 if found == whole(20) else 30)
        commit(folder, 40)
        assert content(latest_checkpoint(folder)) == whole(40)
        assert len(visible(folder)) == 2
        if not crashed:
            break
        effect += 1
    assert seen == {20, 30}
    assert effect > 15


def test_an_older_attempt_may_not_commit_once_a_newer_one_has_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoints"
    become(monkeypatch, 1, tmp_path)
    commit(folder, 10)
    become(monkeypatch, 2, tmp_path)
    assert content(latest_checkpoint(folder)) == whole(10)
    become(monkeypatch, 1, tmp_path)
    with pytest.raises(StaleWrite) as refused:
        commit(folder, 20)
    assert refused.value.evidence["fence"] == 2
    with pytest.raises(StaleWrite):
        latest_checkpoint(folder)
    assert visible(folder) == ["step-00000010"]


def test_a_newer_attempt_fences_a_commit_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoints"

    def overtaken(draft: Path) -> None:
        (draft / "weights").write_text("stale")
        become(monkeypatch, 2, tmp_path)
        assert latest_checkpoint(folder) is None
        become(monkeypatch, 1, tmp_path)

    become(monkeypatch, 1, tmp_path)
    with pytest.raises(StaleWrite):
        commit_checkpoint(folder, 10, overtaken)
    assert visible(folder) == []
    assert not (folder / "latest.json").exists()


def test_a_service_that_reads_another_workloads_checkpoints_does_not_fence_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gpt" / "checkpoints"
    become(monkeypatch, 1, tmp_path / "gpt")
    commit(folder, 10)
    become(monkeypatch, 7, tmp_path / "chat", workload="chat")
    assert content(latest_checkpoint(folder)) == whole(10)
    become(monkeypatch, 1, tmp_path / "gpt")
    commit(folder, 20)


def test_a_new_workload_takes_over_a_folder_whatever_its_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, 3, tmp_path, workload="old")
    commit(tmp_path, 10)
    become(monkeypatch, 1, tmp_path, workload="new")
    commit(tmp_path, 20)
    assert content(latest_checkpoint(tmp_path)) == whole(20)


def test_a_frozen_holder_of_the_lock_is_reported_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suanli.checkpoint.LOCK_WAIT_S", 0.05)
    with (tmp_path / ".lock").open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="locked by another process"):
            commit(tmp_path, 10)


def test_a_commit_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "progress.json"
    monkeypatch.setattr(importlib.import_module("suanli.progress"), "INTERVAL_S", 0.0)
    monkeypatch.setenv("SUANLI_PROGRESS_FILE", str(report))
    commit(tmp_path / "checkpoints", 30)
    said = json.loads(report.read_text())
    assert said["checkpoint_step"] == 30
    assert said["checkpoint_s"] > 0
