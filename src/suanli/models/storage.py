"""Where files of models lie: each once, under its SHA-256, whole or not at all. A local folder, or an object store."""

import errno
import importlib
import importlib.util
import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from suanli.domain.errors import NotFound, Unavailable
from suanli.domain.model import check_sha256
from suanli.models.uris import Address, parse_storage

READ_ONLY = 0o444
"""A blob is also what hard links in caches of nodes lead to: nobody writes to it again."""


class Blobs(Protocol):
    """Raises Unavailable where the storage cannot be reached or written; nothing was changed then."""

    @property
    def url(self) -> str: ...

    def size(self, sha256: str) -> int | None:
        """In bytes; None where there is no such blob."""
        ...

    def put(self, sha256: str, file: Path) -> None:
        """Move a file there whose content is already known to be that. The file is gone afterwards."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """For reading and seeking. Raises NotFound."""
        ...

    def every(self) -> Iterator[tuple[str, int]]:
        """(sha256, bytes) of all that are there."""
        ...

    def remove(self, sha256: str) -> None:
        """Does nothing where there is none."""
        ...


def open_blobs(url: str) -> Blobs:
    """The storage at a path, `file:///…`, `s3://…`, `gs://…`, `abfs://…` or `memory://…`. Raises UsageError."""
    address = parse_storage(url)
    return LocalBlobs(Path(address.path)) if address.scheme == "file" else RemoteBlobs(address)


class LocalBlobs:
    """`blobs/ab/abcd…` below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def path(self, sha256: str) -> Path:
        return self.root / "blobs" / sha256[:2] / check_sha256(sha256)

    def size(self, sha256: str) -> int | None:
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def put(self, sha256: str, file: Path) -> None:
        place = self.path(sha256)
        with told(self.url):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.chmod(READ_ONLY)
            file.replace(place)
            sync_folder(place.parent)

    def open(self, sha256: str) -> BinaryIO:
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError:
            raise _no_blob(sha256) from None

    def every(self) -> Iterator[tuple[str, int]]:
        for path in sorted((self.root / "blobs").glob("??/*")):
            state = path.lstat()
            if stat.S_ISREG(state.st_mode):
                yield path.name, state.st_size

    def remove(self, sha256: str) -> None:
        with told(self.url):
            self.path(sha256).unlink(missing_ok=True)


class RemoteBlobs:
    """The same names below a prefix of an object store, whose writes are atomic by themselves."""

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self._root = address.path
        self._failures = failures_of(address.scheme)
        self._putting = tuple(threading.Lock() for _ in range(16))  # by content: the same one is sent once
        with self._told():
            self._files = file_system(address.scheme)

    def size(self, sha256: str) -> int | None:
        with self._told():
            try:
                return int(self._files.info(self._path(sha256))["size"])
            except FileNotFoundError:
                return None

    def put(self, sha256: str, file: Path) -> None:
        sent_bytes = file.stat().st_size
        with self._putting[int(sha256[:2], 16) % len(self._putting)]:
            if self.size(sha256) != sent_bytes:
                self._put(sha256, file, sent_bytes)
        file.unlink()

    def _put(self, sha256: str, file: Path, sent_bytes: int) -> None:
        with self._told():
            self._files.makedirs(self._path(sha256).rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(file), self._path(sha256))
        written_bytes = self.size(sha256)
        if written_bytes != sent_bytes:
            self.remove(sha256)
            raise Unavailable(
                f"{self.url} kept {written_bytes} of {sent_bytes} bytes of a file.",
                remedy="Try again; if it stays so, check the storage.",
                code="SL-MODEL-STORAGE",
            )

    def open(self, sha256: str) -> BinaryIO:
        opened = open_remote(self._files, self._path(sha256), self.url, self._failures)
        if opened is None:
            raise _no_blob(sha256)
        return opened

    def every(self) -> Iterator[tuple[str, int]]:
        with self._told():
            found = self._files.find(f"{self._root}/blobs", detail=True)
        for path, info in sorted(found.items()):
            yield path.rpartition("/")[2], int(info["size"])

    def remove(self, sha256: str) -> None:
        with self._told():
            try:
                self._files.rm_file(self._path(sha256))
            except FileNotFoundError:
                return

    def _told(self) -> AbstractContextManager[None]:
        return told(self.url, self._failures)

    def _path(self, sha256: str) -> str:
        return f"{self._root}/blobs/{sha256[:2]}/{check_sha256(sha256)}"


def file_system(scheme: str) -> Any:
    """Listings are not cached: another controller may have written since."""
    import fsspec  # 0.1 s that a local folder need not pay

    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        package = {"s3": "suanli[s3]", "gs": "gcsfs", "abfs": "adlfs"}.get(scheme, scheme)
        raise Unavailable(
            f"Models on {scheme}:// need a package that is not installed.",
            remedy=f"Run `pip install '{package}'`.",
            code="SL-MODEL-STORAGE",
        ) from error


def open_remote(
    files: Any, path: str, url: str, failures: tuple[type[Exception], ...]
) -> io.BufferedReader | None:
    """A file of an object store; None where it is not there. Raises Unavailable, as each of its reads does."""
    with told(url, failures):
        try:
            return io.BufferedReader(_Remote(files.open(path, "rb"), url, failures))
        except FileNotFoundError:
            return None


class _Remote(io.RawIOBase):
    def __init__(self, file: Any, url: str, failures: tuple[type[Exception], ...]) -> None:
        self._file, self._url, self._failures = file, url, failures

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with told(self._url, self._failures):
            read = self._file.read(len(buffer))
        buffer[: len(read)] = read
        return len(read)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def failures_of(scheme: str) -> tuple[type[Exception], ...]:
    """What the client of an object store raises beside OSError; nothing where it is not installed."""
    module, name = _FAILURES.get(scheme, ("builtins", "OSError"))
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return ()
    return (getattr(importlib.import_module(module), name),)


_FAILURES = {
    "s3": ("botocore.exceptions", "BotoCoreError"),
    "gs": ("aiohttp", "ClientError"),
    "abfs": ("azure.core.exceptions", "AzureError"),
}


def sync_folder(folder: Path) -> None:
    """Let a rename in that folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def told(url: str, failures: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """What the file system, or the client of an object store, says, as Unavailable."""
    try:
        yield
    except (OSError, *failures) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        said = getattr(error, "strerror", None) or str(error)[:300]
        raise Unavailable(
            f"The models' storage {url} cannot be used: {said}.",
            remedy="Free some space: `suanli models gc`."
            if full
            else "Check its address, rights and network.",
            code="SL-MODEL-STORAGE",
        ) from error


def _no_blob(sha256: str) -> NotFound:
    return NotFound(
        "A file of that version is not in the models' storage any more.",
        remedy="Push the model again: what is there is not sent a second time.",
        evidence={"sha256": sha256},
        code="SL-MODEL-FILE-LOST",
    )
