"""Checkpoints that survive a crash at any instant, and that a stale attempt cannot overwrite. Standard library only.

In a checkpoint folder, `step-00000123/` holds what the program wrote, `latest.json` names the newest and the one before
it, and `fence.json` the newest attempt that has used the folder: it may commit, an earlier attempt of the same workload
may not, even if its node only seemed dead. One process of an attempt commits; every process may read.

A checkpoint appears by one rename, after its bytes are on disk, and counts once `latest.json`, replaced by another
rename, names it. The check of the fence and both renames happen under one lock, so that an earlier attempt cannot slip
in between.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suanli.domain.errors import StaleWrite, Unavailable
from suanli.progress import report_checkpoint

LOCK_WAIT_S = 30.0
"""The lock is held for milliseconds; longer means that its holder was frozen."""


def commit_checkpoint(folder: Path, step: int, write: Callable[[Path], None]) -> Path:
    """Write a checkpoint of `step` into `folder` by `write`, wholly or not at all, and return where it lies.

    `write` fills the empty folder it is given. The checkpoint before this one is kept too, older ones go. The path is
    `folder/step-00000123`, with a suffix where an interrupted or an earlier run left that name taken.

    Raises `StaleWrite` if a newer attempt uses the folder, `Unavailable` if its lock cannot be had, and what `write`
    or the disk raises; the checkpoints that were there then remain.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _raise_fence(folder)
        _sweep(folder)
    draft = folder / f".writing-{step:08d}-{os.urandom(4).hex()}"
    try:
        draft.mkdir()
        write(draft)
        _sync_tree(draft)
        with _locked(folder):
            _raise_fence(folder)
            place = _publish(folder, step, draft)
            _sweep(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    report_checkpoint(step)
    return place


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`, or None.

    Within the running workload's own output folder (SUANLI_OUTPUT_DIR) this also fences: from here on no earlier
    attempt can commit, so that what is resumed from stays the newest. Raises as `commit_checkpoint` does.
    """
    if _is_own(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            _raise_fence(folder)
    latest = _read(folder / "latest.json")
    return folder / latest["name"] if latest else None


def _publish(folder: Path, step: int, draft: Path) -> Path:
    latest = _read(folder / "latest.json")
    name, taken = f"step-{step:08d}", 1
    while (folder / name).exists():
        taken += 1
        name = f"step-{step:08d}-{taken}"
    place = draft.rename(folder / name)
    _sync(folder)  # the name must be there for good before latest.json speaks of it
    _replace(
        folder / "latest.json",
        {"step": step, "name": name, "before": latest.get("name"), "at_s": time.time(), **_attempt()},
    )
    return place


def _sweep(folder: Path) -> None:
    """Remove what `latest.json` does not name: older checkpoints, and what interrupted commits left behind."""
    latest = _read(folder / "latest.json")
    kept = {latest.get("name"), latest.get("before")}
    for path in (*folder.glob("step-*"), *folder.glob(".writing-*")):
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _raise_fence(folder: Path) -> None:
    mine, fence = _attempt(), _read(folder / "fence.json")
    if not mine or fence == mine:
        return
    if fence.get("workload") == mine["workload"] and fence["attempt"] > mine["attempt"]:
        raise StaleWrite(
            f"Attempt {mine['attempt']} of {mine['workload']} may not use its checkpoints any more: "
            f"attempt {fence['attempt']} has taken over.",
            evidence={"folder": str(folder), **mine, "fence": fence["attempt"]},
            remedy="End this process; the newer attempt goes on from the last checkpoint.",
        )
    _replace(folder / "fence.json", mine)


def _attempt() -> dict[str, Any]:
    """The running attempt; empty outside Suanli, where whoever starts a program sees to it that it runs once."""
    number = os.environ.get("SUANLI_ATTEMPT")
    return {"workload": os.environ.get("SUANLI_WORKLOAD", ""), "attempt": int(number)} if number else {}


def _is_own(folder: Path) -> bool:
    output = os.environ.get("SUANLI_OUTPUT_DIR")
    return bool(output) and folder.resolve().is_relative_to(Path(output).resolve())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system takes back from a process that dies."""
    with (folder / ".lock").open("w") as file:
        deadline_s = time.monotonic() + LOCK_WAIT_S
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline_s:
                raise Unavailable(
                    f"The checkpoints in {folder} are locked by another process.",
                    evidence={"folder": str(folder), "waited_s": LOCK_WAIT_S},
                    remedy="Find the frozen process that holds .lock there (lslocks) and end it.",
                )
            time.sleep(0.02)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}


def _replace(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(content), encoding="utf-8")
    _sync(draft)
    draft.rename(path)
    _sync(path.parent)


def _sync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
