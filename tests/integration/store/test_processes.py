"""Several processes on one SQLite file, and processes that are killed while they write."""

import itertools
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from suanli.domain.world import World
from suanli.store import SqlStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    """What the processes of each scenario were told."""
    argv = [sys.executable, str(Path(__file__).with_name("processes.py")), str(folder), "1"]
    return json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE, timeout=200).stdout)


def log_and_world(path: Path) -> tuple[list[Any], World]:
    """Read by a store that has just been opened, so from the projection."""
    store = SqlStore(f"sqlite:///{path}")
    world, entries = store.world(), list(store.entries(0, limit=1_000_000))
    store.close()
    return entries, world


def fold(entries: list[Any]) -> World:
    world = World()
    for entry in entries:
        world.fold(entry)
    return world


def test_of_duplicates_from_two_processes_one_is_accepted_and_all_get_its_answer(
    told: dict[str, Any], folder: Path
):
    answers: dict[str, set[tuple[str, int | None]]] = defaultdict(set)
    for process in told["duplicates"]:
        for key, digest, seqs in process:
            answers[key].add((digest, *seqs) if seqs else (digest, None))
    entries, world = log_and_world(folder / "duplicates.db")
    assert len(entries) == len(world.records) == len(answers) == 60
    for entry in entries:
        key = "k" + entry.event.key.removeprefix("w")
        accepted = {answer for answer in answers[key] if answer[1] is not None}
        assert accepted == {(entry.actor, entry.seq)}
        assert len(answers[key]) == (1 if entry.actor == "same" else 2)


def test_two_processes_never_hold_the_lease_at_once_and_a_deposed_one_writes_nothing(
    told: dict[str, Any], folder: Path
):
    first, second = told["leases"]
    held = sorted((*first["held"], *second["held"]))
    assert [epoch for epoch, _, _ in held] == list(range(1, len(held) + 1))
    for (_, _, until_s), (_, from_s, _) in itertools.pairwise(held):
        assert until_s <= from_s
    assert first["held"]
    assert second["held"]
    assert first["refused"] + second["refused"] > 0
    entries, _ = log_and_world(folder / "leases.db")
    epochs = [int(entry.event.policy) for entry in entries]
    assert epochs == sorted(epochs)
    assert len(entries) == first["written"] + second["written"]


def test_what_a_killed_writer_was_told_is_stored_and_the_projection_is_the_fold(
    told: dict[str, Any], folder: Path
):
    rounds = told["killed_writers"]
    entries, world = log_and_world(folder / "killed_writers.db")
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert world == fold(entries)
    by_seq = {entry.seq: entry for entry in entries}
    for number, acknowledged in enumerate(rounds):
        own = [entry for entry in entries if entry.actor.startswith(f"w{number}-")]
        assert len(own) % 3 == 0
        assert len(own) // 3 - len(acknowledged) in (0, 1)
        assert all(by_seq[seq].actor == f"w{number}-{index}" for index, seq in enumerate(acknowledged))
    assert sum(map(len, rounds)) > 50


def test_a_first_opening_that_was_killed_leaves_a_file_that_opens(told: dict[str, Any]):
    for url in told["killed_openers"]:
        store = SqlStore(url)
        assert store.world() == World()
        assert store.acquire_lease("a", 0.0, 1.0) is not None
        store.close()


def test_a_folder_and_a_file_that_may_not_be_written_are_told_as_such(told: dict[str, Any]):
    assert len(told["read_only"]) == 2
    assert all(sentence.endswith("may not be written.") for sentence in told["read_only"])
