"""Uploads on their way: private files that grow piece by piece, and are hashed and looked into before anyone sees them.

`ID/manifest.json`, `ID/SHA256.part` as far as it came, `ID/SHA256` where it is whole. An id follows from who sends
what under which name, so that the same command sent again goes on where it was.
"""

import fcntl
import hashlib
import os
import re
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from suanli.domain.errors import Conflict, NotFound, UsageError
from suanli.domain.model import Lineage, ModelFile, digest_of
from suanli.models.check import NotAdmitted, identify

PIECE_BYTES_MAX = 8 * 2**20
KEPT_S = 86400.0
UPLOADS_MAX = 64
HASHERS_MAX = 64
FREE_MIN_BYTES = 256 * 2**20

_ID = re.compile(r"[0-9a-f]{40}")
_READ_BYTES = 2**20


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an upload shall become."""

    name: str
    files: tuple[ModelFile, ...]
    task: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    lineage: Lineage = Lineage()
    code: bool = False
    actor: str = ""

    @property
    def blobs(self) -> dict[str, int]:
        """Bytes by SHA-256: each content once."""
        return {file.sha256: file.size_bytes for file in self.files}


class Uploads:
    """In a folder of its own. Safe for threads and processes: a piece is written under a lock of its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashers: OrderedDict[Path, tuple[int, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, manifest: Manifest, needed_bytes: int) -> str:
        """Its id, new or of the same upload before. Raises Conflict or UsageError where there is no room for it."""
        said = f"{manifest.actor}\n{manifest.name}\n{digest_of(manifest.files)}\n"
        upload = hashlib.sha256(said.encode()).hexdigest()[:40]
        folder = self._folder / upload
        if not folder.exists():
            self._refuse_more(needed_bytes)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f".manifest-{threading.get_ident()}"
        draft.write_bytes(msgspec.json.encode(manifest))
        draft.replace(folder / "manifest.json")
        return upload

    def manifest(self, upload: str) -> Manifest:
        """Raises NotFound."""
        try:
            return msgspec.json.decode((self._of(upload) / "manifest.json").read_bytes(), type=Manifest)
        except FileNotFoundError:
            raise _no_upload() from None

    def offset(self, upload: str, sha256: str) -> int:
        """How many bytes of it have come."""
        folder = self._of(upload)
        for path in (folder / sha256, folder / f"{sha256}.part"):
            if path.exists():
                return path.stat().st_size
        return 0

    def whole(self, upload: str, sha256: str) -> Path | None:
        """The file, once all of it has come and was found to be what was promised."""
        path = self._of(upload) / sha256
        return path if path.exists() else None

    def write(self, upload: str, sha256: str, offset: int, piece: bytes) -> int:
        """Add a piece, and return how far the file is now.

        Raises Conflict where it does not begin where the former one ended, or where all came and it is something else
        than was promised; NotAdmitted for what may not enter. The file then begins anew.
        """
        file = next((file for file in self.manifest(upload).files if file.sha256 == sha256), None)
        if file is None:
            raise UsageError("This upload promised no such file.", evidence={"sha256": sha256})
        try:
            return self._write(upload, file, offset, piece)
        except FileNotFoundError:  # it was abandoned meanwhile
            raise _no_upload() from None

    def _write(self, upload: str, file: ModelFile, offset: int, piece: bytes) -> int:
        sha256 = file.sha256
        if self.whole(upload, sha256) is not None:
            return file.size_bytes
        path = self._of(upload) / f"{sha256}.part"
        with _growing(path) as descriptor:
            size_bytes = os.fstat(descriptor).st_size
            if offset != size_bytes:
                raise Conflict(
                    "A piece does not begin where the one before it ended.",
                    remedy="Go on from where the file is.",
                    evidence={"offset": size_bytes},
                    code="SL-MODEL-OFFSET",
                )
            if size_bytes + len(piece) > file.size_bytes:
                raise UsageError(
                    "The file is longer than was promised.", evidence={"promised_bytes": file.size_bytes}
                )
            hasher = self._hasher(path, size_bytes)
            _append(descriptor, piece)
            hasher.update(piece)
            size_bytes += len(piece)
            os.utime(path.with_name("manifest.json"))
            if size_bytes < file.size_bytes:
                self._keep(path, size_bytes, hasher)
            else:
                self._finish(path, file, hasher.hexdigest(), descriptor)
        return size_bytes

    def drop(self, upload: str) -> None:
        """Nothing of it is left."""
        folder = self._of(upload)
        with self._lock:
            for path in [path for path in self._hashers if path.parent == folder]:
                del self._hashers[path]
        shutil.rmtree(folder, ignore_errors=True)

    def every(self) -> Iterator[tuple[str, Manifest]]:
        for folder in sorted(self._folder.glob("*")):
            if _ID.fullmatch(folder.name):
                try:
                    yield folder.name, self.manifest(folder.name)
                except (NotFound, msgspec.DecodeError):
                    continue  # ended meanwhile, or never well begun: swept when it is old

    def sweep(self, now_s: float | None = None) -> list[str]:
        """Drop those that nobody went on with for a day, and return their ids."""
        now_s = time.time() if now_s is None else now_s
        old = [folder.name for folder in self._folder.glob("*") if now_s - _used_s(folder) > KEPT_S]
        for upload in filter(_ID.fullmatch, old):
            self.drop(upload)
        return old

    def _finish(self, path: Path, file: ModelFile, found: str, descriptor: int) -> None:
        try:
            if found != file.sha256:
                raise Conflict(
                    f"{file.path} came as something else than was promised.",
                    remedy="Send it again; if it stays so, the file changes while it is read.",
                    evidence={"promised_sha256": file.sha256, "sha256": found},
                    code="SL-MODEL-DIGEST",
                )
            with path.open("rb") as whole:
                identify(file.path, whole, file.size_bytes)
        except (Conflict, NotAdmitted):
            path.unlink()
            raise
        os.fsync(descriptor)
        path.rename(path.with_suffix(""))

    def _hasher(self, path: Path, size_bytes: int) -> Any:
        """Of what has come so far: remembered, or read again after a restart."""
        with self._lock:
            known_bytes, hasher = self._hashers.pop(path, (0, hashlib.sha256()))
        if known_bytes == size_bytes:
            return hasher
        hasher = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                hasher.update(piece)
        return hasher

    def _keep(self, path: Path, size_bytes: int, hasher: Any) -> None:
        with self._lock:
            self._hashers[path] = (size_bytes, hasher)
            while len(self._hashers) > HASHERS_MAX:
                self._hashers.popitem(last=False)

    def _refuse_more(self, needed_bytes: int) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        count = sum(1 for _ in self._folder.glob("*"))
        if count >= UPLOADS_MAX:
            raise Conflict(
                f"{count} uploads are under way, which is as many as there may be.",
                remedy="Finish or abandon some; those left alone for a day are dropped.",
                code="SL-MODEL-UPLOADS",
            )
        free_bytes = shutil.disk_usage(self._folder).free
        if needed_bytes > free_bytes - FREE_MIN_BYTES:
            raise UsageError(
                "There is no room for this model on the controller's disk.",
                remedy="Free some space (`suanli models gc`), or keep models elsewhere (`suanli up --models`).",
                evidence={
                    "needed_bytes": needed_bytes,
                    "free_bytes": free_bytes,
                    "kept_free_bytes": FREE_MIN_BYTES,
                },
                code="SL-MODEL-ROOM",
            )

    def _of(self, upload: str) -> Path:
        if _ID.fullmatch(upload) is None:
            raise _no_upload()
        return self._folder / upload


@contextmanager
def _growing(path: Path) -> Iterator[int]:
    """The file open for appending and for this caller alone. Raises Conflict."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "Somebody sends this file at this moment.", remedy="Try again.", code="SL-MODEL-BUSY"
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)


def _append(descriptor: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(descriptor, left) :]


def _used_s(folder: Path) -> float:
    for path in (folder / "manifest.json", folder):
        try:
            return path.stat().st_mtime
        except FileNotFoundError:
            continue
    return time.time()


def _no_upload() -> NotFound:
    return NotFound(
        "There is no such upload.",
        remedy="Begin it again (`suanli models push`): files that came whole are not sent twice.",
        code="SL-MODEL-NO-UPLOAD",
    )
