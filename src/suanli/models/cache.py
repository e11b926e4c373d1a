"""A node's copy of versions: fetched once whatever number of replicas ask, read-only, bounded, and whole or not there.

`versions/DIGEST/` is a version's folder; its users share the lock of `locks/DIGEST`, and who removes it has that alone.
`drafts/DIGEST/` is a folder in the making, by who has the lock of `locks/DIGEST.making`; `claims/DIGEST` says how many
bytes it will take. Where blobs lie on the same file system, files are hard links to them and take no room. The kernel
drops locks of whoever dies.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from suanli.domain.errors import Conflict, Unavailable, UsageError
from suanli.domain.model import ModelFile, ModelVersion, check_sha256
from suanli.models.paths import check_paths, inside
from suanli.models.storage import READ_ONLY, Blobs, LocalBlobs, open_blobs, sync_folder, told

PIECE_BYTES = 2**20
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, errno.EOPNOTSUPP)

Say = Callable[[int, int], None]
"""Is told how many bytes of how many are there."""


class Held(NamedTuple):
    """A folder that stays while `descriptor` is open, in this process or in one that inherited it."""

    folder: Path
    descriptor: int


def materialise(version: ModelVersion, storage_url: str, cache_dir: Path, bytes_max: int) -> Path:
    """The version's folder, there and kept for as long as this process lives. Raises as `hold` does."""
    return hold(version, storage_url, cache_dir, bytes_max).folder


def hold(
    version: ModelVersion, storage_url: str, cache_dir: Path, bytes_max: int, say: Say = lambda *_: None
) -> Held:
    """The version's folder, fetched where it is not there yet, and a shared lock on it.

    Waits while another process fetches it. To make room the versions used longest ago go, never one that somebody
    holds. Raises UsageError where it is larger than the cache, Unavailable where there is no room now or the storage
    cannot be reached, Conflict where a file is not what it should be.
    """
    check_sha256(version.digest)
    check_paths(file.path for file in version.files)
    with told(str(cache_dir)):
        cache = _Cache(cache_dir, bytes_max)
        descriptor = os.open(cache.lock(version.digest), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if cache.folder(version.digest).is_dir():
                    os.utime(descriptor)
                    return Held(cache.folder(version.digest), descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                with _locked(cache.making(version.digest)):
                    if not cache.folder(version.digest).is_dir():
                        _fetch(cache, version, open_blobs(storage_url), say)
        except BaseException:
            os.close(descriptor)
            raise


def _fetch(cache: "_Cache", version: ModelVersion, blobs: Blobs, say: Say) -> None:
    """Make the folder, as the only one who does. Files that came whole before an interruption are kept."""
    if isinstance(blobs, LocalBlobs) and not blobs.root.is_dir():
        raise Unavailable(
            f"The models' storage {blobs.url} is not on this machine.",
            remedy="Share that folder with all nodes, or keep models on an object store: `suanli up --models URL`.",
            code="SL-MODEL-STORAGE",
        )
    draft, done_bytes = cache.draft(version.digest), 0
    links = isinstance(blobs, LocalBlobs) and blobs.root.stat().st_dev == cache.root.stat().st_dev
    cache.claim(version.digest, 0 if links else version.size_bytes)
    draft.mkdir(exist_ok=True)
    for file in version.files:
        place = inside(draft, file.path)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            links = links and isinstance(blobs, LocalBlobs) and _link(blobs, file, place)
            if not links:
                cache.claim(version.digest, version.size_bytes)
                _copy(
                    blobs,
                    file,
                    place,
                    lambda count, before=done_bytes: say(before + count, version.size_bytes),
                )
        done_bytes += file.size_bytes
        say(done_bytes, version.size_bytes)
    for folder in {inside(draft, file.path).parent for file in version.files}:
        sync_folder(folder)
    draft.rename(cache.folder(version.digest))
    sync_folder(cache.folder(version.digest).parent)
    cache.unclaim(version.digest)


def _link(blobs: LocalBlobs, file: ModelFile, place: Path) -> bool:
    """Whether a hard link could be made."""
    source = blobs.path(file.sha256)
    if blobs.size(file.sha256) != file.size_bytes:
        raise _damaged(file)
    try:
        os.link(source, place)
    except OSError as error:
        if error.errno in NO_LINK:
            return False
        raise
    return True


def _copy(blobs: Blobs, file: ModelFile, place: Path, say: Callable[[int], None]) -> None:
    part = place.with_name(f".{place.name[:200]}.part")
    hasher, count = hashlib.sha256(), 0
    with blobs.open(file.sha256) as source, part.open("wb") as out:
        while piece := source.read(PIECE_BYTES):
            hasher.update(piece)
            count += len(piece)
            out.write(piece)
            say(count)
        out.flush()
        os.fsync(out.fileno())
    if hasher.hexdigest() != file.sha256:
        part.unlink()
        raise _damaged(file)
    part.chmod(READ_ONLY)
    part.rename(place)


class _Cache:
    """The paths of a cache, and the room in it."""

    def __init__(self, root: Path, bytes_max: int) -> None:
        self.root = root
        self._bytes_max = bytes_max
        for name in ("versions", "locks", "drafts", "claims"):
            (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def folder(self, digest: str) -> Path:
        return self.root / "versions" / digest

    def lock(self, digest: str) -> Path:
        """Never removed: whoever waits for it must wait for the same file as everyone else."""
        return self.root / "locks" / digest

    def making(self, digest: str) -> Path:
        return self.root / "locks" / f"{digest}.making"

    def draft(self, digest: str) -> Path:
        return self.root / "drafts" / digest

    def claim(self, digest: str, needed_bytes: int) -> None:
        """Have that much room for a version, whatever others fetch at the same time."""
        if needed_bytes > self._bytes_max:
            raise UsageError(
                "The model is larger than this node's cache of models.",
                remedy="Allow the cache more bytes, or serve a smaller (quantised) version.",
                evidence={"needed_bytes": needed_bytes, "cache_bytes_max": self._bytes_max},
                code="SL-MODEL-ROOM",
            )
        with _locked(self.root / "room"):
            self.unclaim(digest)
            self._make_room(needed_bytes)
            (self.root / "claims" / digest).write_text(str(needed_bytes))

    def unclaim(self, digest: str) -> None:
        (self.root / "claims" / digest).unlink(missing_ok=True)

    def _make_room(self, needed_bytes: int) -> None:
        sizes = {path.name: _own_bytes(path) for path in (self.root / "versions").iterdir()}
        claims = {path.name: int(path.read_text() or 0) for path in (self.root / "claims").iterdir()}
        used_bytes = sum(sizes.values()) + sum(claims.values())
        stale = {path.name for path in (self.root / "drafts").iterdir()} | claims.keys()
        for digest in (*sorted(stale), *sorted(sizes, key=self._used_s)):
            if used_bytes + needed_bytes <= self._bytes_max:
                return
            if self._remove(digest):
                used_bytes -= sizes.get(digest, 0) + claims.pop(digest, 0)
        if used_bytes + needed_bytes > self._bytes_max:
            raise Unavailable(
                "All that is in this node's cache of models is in use, and there is no room for another.",
                remedy="Allow the cache more bytes, or place the service elsewhere.",
                evidence={
                    "needed_bytes": needed_bytes,
                    "used_bytes": used_bytes,
                    "cache_bytes_max": self._bytes_max,
                },
                code="SL-MODEL-ROOM",
            )

    def _used_s(self, digest: str) -> float:
        lock = self.lock(digest)
        return lock.stat().st_mtime if lock.exists() else 0.0

    def _remove(self, digest: str) -> bool:
        """A version, or what a dead process left of one. Not one that somebody holds or fetches."""
        try:
            with _locked(self.lock(digest), fcntl.LOCK_NB), _locked(self.making(digest), fcntl.LOCK_NB):
                draft = self.draft(digest)
                shutil.rmtree(draft, ignore_errors=True)
                if self.folder(digest).exists():
                    self.folder(digest).rename(draft)  # at once: nobody sees half of it
                    shutil.rmtree(draft)
                self.unclaim(digest)
        except BlockingIOError:
            return False
        return True


def _own_bytes(folder: Path) -> int:
    """What removing it would free: a hard link to a blob takes no room of its own."""
    states = [Path(parent, name).lstat() for parent, _, names in os.walk(folder) for name in names]
    return sum(state.st_size for state in states if state.st_nlink == 1)


@contextmanager
def _locked(path: Path, waits: int = 0) -> Iterator[None]:
    """With `LOCK_NB` raises BlockingIOError where another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | waits)
        yield
    finally:
        os.close(descriptor)


def _damaged(file: ModelFile) -> Conflict:
    return Conflict(
        f"{file.path} is not in the models' storage as it was pushed.",
        remedy="Push the version again under another name, and check the storage.",
        evidence={"sha256": file.sha256},
        code="SL-MODEL-DIGEST",
    )
