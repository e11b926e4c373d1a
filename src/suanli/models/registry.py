"""The registry: an index of versions, the blobs that their files are, and uploads that become versions."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from suanli.domain.errors import Conflict, NotFound, UsageError
from suanli.domain.model import (
    ModelFile,
    ModelVersion,
    Reference,
    check_name,
    check_sha256,
    check_tags,
    check_task,
    digest_of,
)
from suanli.models.check import Content, Kind, NotAdmitted, check_version, identify
from suanli.models.paths import check_paths
from suanli.models.storage import Blobs, LocalBlobs, told
from suanli.models.uploads import Manifest, Uploads
from suanli.ports.model_index import By, ModelIndex

FILE_BYTES_MAX = 2**43
"""8 TiB, so that sums stay numbers that every JSON reader keeps whole."""

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file whose bytes from `offset` on are still to be sent."""

    sha256: str
    size_bytes: int
    offset: int


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An upload and what it lacks; or the version, where the same content is there under that name already."""

    upload: str = ""
    wanted: tuple[Wanted, ...] = ()
    version: ModelVersion | None = None


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a garbage collection removed, or would: blobs that no version needs, and uploads left alone for a day."""

    blobs: int
    freed_bytes: int
    uploads: int
    dry_run: bool


class Registry:
    """Safe for threads. `staging` is a local folder; for a local storage on its file system.

    Several controllers may share a database and a storage; garbage is then collected by one while none else commits.
    """

    def __init__(self, index: ModelIndex, blobs: Blobs, staging: Path, now_s: Callable[[], float]) -> None:
        self.index = index
        self.blobs = blobs
        self._uploads = Uploads(staging)
        self._now_s = now_s
        self._lock = (
            threading.Lock()
        )  # whoever removes blobs, and whoever counts on them, one after the other
        self._committing: set[str] = set()

    def by(self, actor: str) -> By:
        return By(actor, self._now_s())

    def begin(self, manifest: Manifest) -> Begun:
        """Check all that can be checked before a byte is sent. Raises UsageError, Conflict."""
        _check_manifest(manifest)
        self._uploads.sweep()
        same = [v for v in self.index.versions(manifest.name) if v.digest == digest_of(manifest.files)]
        if same:
            return Begun(version=same[0])
        with self._lock, told(self.blobs.url):
            lacking = {s: size for s, size in manifest.blobs.items() if self.blobs.size(s) != size}
            upload = self._uploads.begin(manifest, sum(lacking.values()))
        if EMPTY_SHA256 in lacking:
            self._uploads.write(upload, EMPTY_SHA256, 0, b"")
        return Begun(upload=upload, wanted=self._wanted(upload, lacking))

    def write(self, name: str, upload: str, sha256: str, offset: int, piece: bytes, *, actor: str) -> int:
        """`Uploads.write`, for who began the upload. Of one with a file that may not enter nothing is kept."""
        self._own(name, upload, actor)
        try:
            with told(self.blobs.url):
                return self._uploads.write(upload, sha256, offset, piece)
        except NotAdmitted:
            self._uploads.drop(upload)
            raise

    def commit(self, name: str, upload: str, *, actor: str) -> ModelVersion:
        """The version that an upload makes, once all its files are there and may stand together.

        Blobs first, the row in the index last: whatever fails in between leaves no version, and nothing that the next
        attempt or a garbage collection would not put right. Raises Conflict, UsageError, NotFound, Unavailable.
        """
        manifest = self._own(name, upload, actor)
        with self._alone(upload):
            lacking = {s: size for s, size in manifest.blobs.items() if self.blobs.size(s) != size}
            wanted = self._wanted(upload, lacking)
            if wanted:
                raise Conflict(
                    f"Of {len(wanted)} of its files not all has come.",
                    remedy="Send the rest, then commit again.",
                    evidence={"wanted": [msgspec.to_builtins(each) for each in wanted[:20]]},
                    code="SL-MODEL-INCOMPLETE",
                )
            version = self._checked(manifest, upload)
            for sha256 in lacking:
                file = self._uploads.whole(upload, sha256)
                assert file is not None
                self.blobs.put(sha256, file)
            with self._lock:
                if any(self.blobs.size(sha256) != size for sha256, size in manifest.blobs.items()):
                    raise Conflict(
                        "A file was removed meanwhile.", remedy="Push again.", code="SL-MODEL-FILE-LOST"
                    )
                added = self.index.add(version)
                self._uploads.drop(upload)
            return added

    def abandon(self, name: str, upload: str, *, actor: str) -> None:
        """Nothing of the upload is left."""
        self._own(name, upload, actor)
        with self._alone(upload):
            self._uploads.drop(upload)

    def file(self, name: str, number: int, path: str) -> ModelFile:
        """A file of a version. Raises NotFound."""
        version = self.index.version(Reference(name=name, number=number))
        for file in version.files:
            if file.path == path:
                return file
        raise NotFound(
            f"{version.reference} has no file of that path.",
            remedy=f"`suanli models show {version.reference}` lists its files.",
            code="SL-NO-MODEL-FILE",
        )

    def delete(self, name: str, number: int, *, actor: str, used: Collection[tuple[str, int]]) -> None:
        """`used` are the (name, number) that services need. Raises Conflict for one of those, or an alias's."""
        if (name, number) in used:
            raise Conflict(
                f"A running service uses {name}/{number}, or may be rolled back to it.",
                remedy="Stop the service first: `suanli services`.",
                code="SL-MODEL-IN-USE",
            )
        self.index.delete(name, number, self.by(actor))

    def collect(self, *, dry_run: bool = False) -> Collected:
        """Remove what no version and no upload needs. O(files of all versions + blobs)."""
        swept = 0 if dry_run else len(self._uploads.sweep())
        with self._lock:
            needed = {file.sha256 for version in self.index.versions() for file in version.files}
            needed.update(sha256 for _, manifest in self._uploads.every() for sha256 in manifest.blobs)
            garbage = [(sha256, size) for sha256, size in self.blobs.every() if sha256 not in needed]
            for sha256, _ in garbage if not dry_run else ():
                self.blobs.remove(sha256)
        freed_bytes = sum(size for _, size in garbage)
        return Collected(blobs=len(garbage), freed_bytes=freed_bytes, uploads=swept, dry_run=dry_run)

    def _own(self, name: str, upload: str, actor: str) -> Manifest:
        """Raises NotFound for an upload that is another's: its id is nobody else's business."""
        manifest = self._uploads.manifest(upload)
        if (manifest.name, manifest.actor) != (name, actor):
            raise NotFound("There is no such upload.", code="SL-MODEL-NO-UPLOAD")
        return manifest

    def _wanted(self, upload: str, lacking: dict[str, int]) -> tuple[Wanted, ...]:
        return tuple(
            Wanted(sha256=sha256, size_bytes=size, offset=self._uploads.offset(upload, sha256))
            for sha256, size in lacking.items()
            if self._uploads.whole(upload, sha256) is None
        )

    def _checked(self, manifest: Manifest, upload: str) -> ModelVersion:
        """The version, its files looked into: those that were sent, and those that were there under another path."""
        try:
            contents = {file.path: self._content(file, upload) for file in manifest.files}
            chosen = check_version(contents, code=manifest.code)
        except NotAdmitted:
            self._uploads.drop(upload)
            raise
        files = tuple(
            msgspec.structs.replace(file, code=contents[file.path].kind is Kind.CODE)
            for file in sorted(manifest.files, key=lambda file: file.path)
        )
        return ModelVersion(
            name=manifest.name,
            digest=digest_of(files),
            files=files,
            format=chosen,
            task=manifest.task,
            tags=manifest.tags,
            lineage=manifest.lineage,
            size_bytes=sum(file.size_bytes for file in files),
            created_s=self._now_s(),
            actor=manifest.actor,
        )

    def _content(self, file: ModelFile, upload: str) -> Content:
        sent = self._uploads.whole(upload, file.sha256)
        with sent.open("rb") if sent else self.blobs.open(file.sha256) as opened:
            return identify(file.path, opened, file.size_bytes)

    @contextmanager
    def _alone(self, upload: str) -> Iterator[None]:
        with self._lock:
            if upload in self._committing:
                raise Conflict("This upload is being committed.", remedy="Wait for it.", code="SL-MODEL-BUSY")
            self._committing.add(upload)
        try:
            yield
        finally:
            with self._lock:
                self._committing.discard(upload)


def staging_of(blobs: Blobs, home: Path) -> Path:
    """Where uploads grow: beside a local storage's blobs, so that moving a file is a rename; else in the home."""
    return (blobs.root if isinstance(blobs, LocalBlobs) else home) / "uploads"


def _check_manifest(manifest: Manifest) -> None:
    check_name(manifest.name)
    check_task(manifest.task)
    check_tags(manifest.tags)
    check_paths(file.path for file in manifest.files)
    sizes: dict[str, int] = {}
    for file in manifest.files:
        check_sha256(file.sha256)
        known = sizes.setdefault(file.sha256, file.size_bytes)
        if known != file.size_bytes or (file.size_bytes == 0) != (file.sha256 == EMPTY_SHA256):
            raise UsageError(f"{file.path} cannot have that size with that SHA-256.", code="SL-MODEL-DIGEST")
        if not 0 <= file.size_bytes <= FILE_BYTES_MAX:
            raise UsageError(f"{file.path} cannot have that size.", code="SL-MODEL-FILES")
    if not manifest.files:
        raise UsageError("A version needs files.", remedy="Name at least one.", code="SL-MODEL-FILES")
