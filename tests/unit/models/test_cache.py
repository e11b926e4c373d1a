"""A node has a version once, whole, for as long as somebody holds it, and within bounds."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.unit.models.files import everything_below, push, safetensors

from suanli.domain.errors import Conflict, SuanliError, Unavailable, UsageError
from suanli.domain.model import ModelVersion
from suanli.models import cache
from suanli.models.cache import hold
from suanli.models.fetch import Order, argv_of
from suanli.models.registry import Registry, staging_of
from suanli.models.storage import open_blobs
from suanli.ports.memory_model_index import MemoryModelIndex

PLENTY = 2**30
ON_A_NODE = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
"""Where a replica starts, `python` is the one that Suanli runs in."""


class Shelf:
    """Versions in a storage, and a cache for them."""

    def __init__(self, tmp_path: Path, url: str) -> None:
        self.url = url
        self.cache = tmp_path / "cache"
        blobs = open_blobs(url)
        self.registry = Registry(MemoryModelIndex(), blobs, staging_of(blobs, tmp_path), lambda: 0.0)

    def version(self, seed: int = 0, numbers: int = 1000) -> ModelVersion:
        files = {"w/model.safetensors": safetensors(seed, numbers), "config.json": b'{"seed": %d}' % seed}
        return push(self.registry, files, f"m{seed}")

    def versions_there(self) -> set[str]:
        return {path.name for path in (self.cache / "versions").iterdir()}


@pytest.fixture
def near(tmp_path) -> Shelf:
    """On a local folder: hard links."""
    return Shelf(tmp_path, str(tmp_path / "models"))


@pytest.fixture
def far(tmp_path) -> Shelf:
    """On an object store: copies."""
    return Shelf(tmp_path, f"memory://models-{time.time_ns()}")


@pytest.fixture(params=["near", "far"])
def shelf(request) -> Shelf:
    return request.getfixturevalue(request.param)


def test_a_version_is_there_under_its_digest_read_only_and_whole(shelf):
    version = shelf.version()
    said: list[tuple[int, int]] = []
    held = hold(version, shelf.url, shelf.cache, PLENTY, lambda done, total: said.append((done, total)))
    assert held.folder == shelf.cache / "versions" / version.digest
    assert everything_below(held.folder) == ["config.json", "w/model.safetensors"]
    assert (held.folder / "w/model.safetensors").read_bytes() == safetensors(0, 1000)
    assert {p.stat().st_mode & 0o777 for p in held.folder.rglob("*") if p.is_file()} == {0o444}
    assert said[-1] == (version.size_bytes, version.size_bytes)
    assert hold(version, "memory://not-needed-again", shelf.cache, PLENTY).folder == held.folder
    assert list((shelf.cache / "drafts").iterdir()) == list((shelf.cache / "claims").iterdir()) == []


def test_on_the_storages_own_disk_files_are_links_that_take_no_room(near):
    version = near.version()
    folder = hold(version, near.url, near.cache, 0).folder
    blob = next((near.cache.parent / "models" / "blobs").glob(f"*/{version.files[1].sha256}"))
    assert blob.samefile(folder / version.files[1].path)


def test_whatever_number_asks_at_once_it_is_fetched_once(far, monkeypatch):
    version = far.version()
    fetched: list[str] = []
    copy = cache._copy
    monkeypatch.setattr(
        cache, "_copy", lambda blobs, file, *rest: (fetched.append(file.path), copy(blobs, file, *rest))
    )
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(hold, version, far.url, far.cache, PLENTY) for _ in range(8)]
    assert len({one.result().folder for one in asked}) == 1
    assert sorted(fetched) == ["config.json", "w/model.safetensors"]


def test_the_version_used_longest_ago_makes_room_and_one_that_is_held_never_does(far):
    one, two, three, four = (far.version(seed) for seed in range(4))
    room_bytes = 2 * one.size_bytes + 100
    first, second = (hold(v, far.url, far.cache, room_bytes) for v in (one, two))
    with pytest.raises(Unavailable) as refused:
        hold(three, far.url, far.cache, room_bytes)
    assert refused.value.evidence["used_bytes"] == one.size_bytes + two.size_bytes
    os.close(second.descriptor)
    third = hold(three, far.url, far.cache, room_bytes)
    assert far.versions_there() == {one.digest, three.digest}
    os.close(first.descriptor)
    os.close(third.descriptor)
    os.utime(far.cache / "locks" / one.digest, (time.time() + 60, time.time() + 60))
    hold(four, far.url, far.cache, room_bytes)
    assert far.versions_there() == {one.digest, four.digest}


def test_a_version_larger_than_the_cache_is_refused_with_the_arithmetic(far):
    version = far.version()
    with pytest.raises(UsageError) as refused:
        hold(version, far.url, far.cache, 100)
    assert refused.value.evidence == {"needed_bytes": version.size_bytes, "cache_bytes_max": 100}
    assert list((far.cache / "drafts").iterdir()) == []


def test_an_interrupted_fetch_goes_on_with_the_files_that_were_whole(far, monkeypatch):
    version = far.version()
    copy = cache._copy

    def die_at_the_second(blobs, file, *rest):
        if file.path != "config.json":
            raise KeyboardInterrupt
        copy(blobs, file, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(cache, "_copy", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            hold(version, far.url, far.cache, PLENTY)
    assert far.versions_there() == set()
    copied: list[str] = []
    monkeypatch.setattr(
        cache, "_copy", lambda blobs, file, *rest: (copied.append(file.path), copy(blobs, file, *rest))
    )
    hold(version, far.url, far.cache, PLENTY)
    assert copied == ["w/model.safetensors"]


def test_what_an_interrupted_fetch_left_makes_room_first(far, monkeypatch):
    dead, kept, new = (far.version(seed) for seed in range(3))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(cache, "_copy", die)
        with pytest.raises(KeyboardInterrupt):
            hold(dead, far.url, far.cache, PLENTY)
    os.close(hold(kept, far.url, far.cache, PLENTY).descriptor)
    hold(new, far.url, far.cache, 2 * new.size_bytes + 100)
    assert far.versions_there() == {kept.digest, new.digest}
    assert list((far.cache / "drafts").iterdir()) == []


def test_a_file_that_is_not_what_it_was_never_becomes_a_version(far, near):
    for shelf, change in ((far, lambda file: b"?" * file.size_bytes), (near, lambda _: b"?")):
        version = shelf.version()
        file = version.files[-1]
        if shelf is near:
            place = Path(shelf.url) / "blobs" / file.sha256[:2] / file.sha256
            place.chmod(0o600)
            place.write_bytes(change(file))
        else:
            blobs = shelf.registry.blobs
            blobs._files.pipe_file(blobs._path(file.sha256), change(file))  # pyright: ignore
        with pytest.raises(Conflict):
            hold(version, shelf.url, shelf.cache / "own", PLENTY)
        assert list((shelf.cache / "own" / "versions").iterdir()) == []


def test_a_storage_that_is_not_on_this_node_is_told(near, tmp_path):
    with pytest.raises(Unavailable, match="not on this machine"):
        hold(near.version(), str(tmp_path / "elsewhere"), near.cache, PLENTY)


@pytest.mark.parametrize("path", ["../../evil", "/evil", "a/../../evil"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(far, path):
    version = far.version()
    evil = msgspec.structs.replace(version, files=(msgspec.structs.replace(version.files[0], path=path),))
    with pytest.raises(UsageError):
        hold(evil, far.url, far.cache, PLENTY)
    assert "evil" not in str(everything_below(far.cache.parent))


PROGRAM = """
import fcntl, json, os, sys
folder = os.environ["SUANLI_MODEL_DIR"]
print(json.dumps([folder, sorted(os.listdir(folder)), sys.argv[1:]]), flush=True)
sys.stdin.read()
"""


def started(near: Shelf, version: ModelVersion, *argv: str) -> "subprocess.Popen[str]":
    order = Order(version=version, storage_url=near.url, cache_dir=str(near.cache), cache_bytes_max=0)
    file = near.cache.parent / "order.json"
    file.write_bytes(msgspec.json.encode(order))
    return subprocess.Popen(
        argv_of(file, argv),
        env=ON_A_NODE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_replica_becomes_its_program_and_holds_its_model_until_it_dies(near):
    version = near.version()
    with started(near, version, sys.executable, "-c", PROGRAM, "a b", "c") as replica:
        assert replica.stdout is not None
        folder, names, argv = json.loads(replica.stdout.readline())
        assert (names, argv) == (["config.json", "w"], ["a b", "c"])
        room = cache._Cache(near.cache, 0)
        assert room._remove(version.digest) is False
        replica.kill()
        replica.wait()
    assert Path(folder).is_dir()
    assert room._remove(version.digest) is True
    assert not Path(folder).exists()


def test_a_replica_whose_model_or_program_is_not_there_says_so_and_ends(near):
    version = near.version()
    with started(near, version, "no-such-program") as replica:
        assert "SL-NO-PROGRAM" in replica.communicate()[1]
        assert replica.returncode == UsageError.exit_code
    near.registry.blobs.remove(version.files[0].sha256)
    lost = msgspec.structs.replace(version, digest="0" * 64)
    with started(near, lost, "true") as replica:
        assert "SL-MODEL" in replica.communicate()[1]
        assert replica.returncode == Conflict.exit_code
    done = subprocess.run(
        [sys.executable, "-m", "suanli.models.fetch", "x"], capture_output=True, check=False
    )
    assert done.returncode == UsageError.exit_code


@pytest.fixture
def apart(near) -> Iterator[Shelf]:
    """A cache on another file system than the storage, so that files are copied."""
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == near.cache.parent.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir=shared_memory) as folder:
        near.cache = Path(folder)
        yield near


def fetching(shelf: Shelf, version: ModelVersion, *argv: str) -> "subprocess.Popen[str]":
    file = Path(shelf.url).parent / "order.json"
    order = Order(version=version, storage_url=shelf.url, cache_dir=str(shelf.cache), cache_bytes_max=PLENTY)
    file.write_bytes(msgspec.json.encode(order))
    return subprocess.Popen(
        argv_of(file, argv), env=ON_A_NODE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def test_processes_that_begin_at_once_share_one_copy(apart):
    version = apart.version(numbers=2_000_000)
    show = ("sh", "-c", 'stat -c %i "$SUANLI_MODEL_DIR/w/model.safetensors"')
    replicas = [fetching(apart, version, *show) for _ in range(4)]
    inodes = {replica.communicate(timeout=100)[0] for replica in replicas}
    assert [replica.returncode for replica in replicas] == [0] * 4
    assert len(inodes) == 1
    assert [path.name for path in (apart.cache / "versions").iterdir()] == [version.digest]


KILLED = """
import os, signal, sys
from suanli.models import cache, fetch
copy = cache._copy
def dying(done_bytes):
    if done_bytes >= 3 << 20:
        os.kill(os.getpid(), signal.SIGKILL)
cache._copy = lambda blobs, file, place, say: copy(blobs, file, place, dying)
sys.exit(fetch.main(sys.argv[1:]))
"""
"""The fetch of a model, killed after three pieces of its weights."""


def test_a_fetch_that_is_killed_leaves_no_version_and_the_next_one_makes_it(apart):
    version = apart.version(numbers=3_000_000)
    file = Path(apart.url).parent / "order.json"
    order = Order(version=version, storage_url=apart.url, cache_dir=str(apart.cache), cache_bytes_max=PLENTY)
    file.write_bytes(msgspec.json.encode(order))
    words = [sys.executable, "-c", KILLED, *argv_of(file, ("true",))[4:]]
    assert subprocess.run(words, env=ON_A_NODE, check=False).returncode == -signal.SIGKILL
    assert (apart.cache / "drafts" / version.digest / "w" / ".model.safetensors.part").stat().st_size
    assert list((apart.cache / "versions").iterdir()) == []
    again = fetching(apart, version, "true")
    again.communicate(timeout=100)
    assert again.returncode == 0
    folder = apart.cache / "versions" / version.digest
    assert everything_below(folder) == ["config.json", "w/model.safetensors"]
    with (folder / "w/model.safetensors").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == version.files[1].sha256
    assert list((apart.cache / "drafts").iterdir()) == []


def test_what_every_replica_begins_with_loads_nothing_heavy():
    program = "import sys, suanli.models.fetch; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"torch", "pydantic", "ray", "fsspec", "sqlalchemy", "numpy", "asyncio"} & set(loaded) == set()


def test_errors_of_the_cache_are_ours(far):
    version = far.version()
    file = far.cache.parent / "a-file"
    file.write_text("")
    with pytest.raises(SuanliError):
        hold(version, far.url, file, PLENTY)
