"""A file that only grows, of records that are whole or not there: a length, a CRC-32, and a body for each.

What `append` or `replace` returned from is on disk. A crash may leave part of what was being written at the end: it is
cut off when the file is opened again. Nobody was told that it was there.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

_HEAD = struct.Struct("<II")
RECORD_BYTES_MAX = 256 * 2**20


class Disk:
    """The effects that a journal has, so that a test can die at each of them."""

    def write(self, descriptor: int, body: bytes) -> None:
        left = memoryview(body)
        while left:
            left = left[os.write(descriptor, left) :]

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def cut(self, descriptor: int, size_bytes: int) -> None:
        os.ftruncate(descriptor, size_bytes)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)


class Journal:
    """One writer's. Raises OSError where the disk refuses; what is on it then is unknown until it is opened again."""

    def __init__(self, path: Path, descriptor: int, size_bytes: int, disk: Disk) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._descriptor = descriptor
        self._disk = disk

    def append(self, bodies: Sequence[bytes]) -> None:
        framed = b"".join(map(_framed, bodies))
        self._disk.write(self._descriptor, framed)
        self._disk.sync(self._descriptor)
        self.size_bytes += len(framed)

    def replace(self, bodies: Sequence[bytes]) -> None:
        """These records instead of all, at once."""
        framed = b"".join(map(_framed, bodies))
        draft = self.path.with_suffix(".draft")
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600)
        try:
            self._disk.write(descriptor, framed)
            self._disk.sync(descriptor)
            self._disk.rename(draft, self.path)
            _sync_folder(self.path, self._disk)
        except OSError:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor, self.size_bytes = descriptor, len(framed)

    def close(self) -> None:
        os.close(self._descriptor)


def open_journal(path: Path, disk: Disk | None = None) -> tuple[Journal, tuple[bytes, ...]]:
    """The file, made 0600 where there is none, and the records that are whole; what a crash left unfinished is cut off.

    O(file).
    """
    disk = disk or Disk()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    content = path.read_bytes()
    records = tuple(_records(content))
    size_bytes = sum(_HEAD.size + len(body) for body in records)
    if size_bytes < len(content):
        disk.cut(descriptor, size_bytes)
    disk.sync(descriptor)
    _sync_folder(path, disk)
    return Journal(path, descriptor, size_bytes, disk), records


def _sync_folder(path: Path, disk: Disk) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        disk.sync(folder)
    finally:
        os.close(folder)


def _framed(body: bytes) -> bytes:
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _records(content: bytes) -> Iterator[bytes]:
    """The bodies up to the first that is not whole."""
    at = 0
    while at + _HEAD.size <= len(content):
        length, crc = _HEAD.unpack_from(content, at)
        body = content[at + _HEAD.size : at + _HEAD.size + length]
        if length == 0 or length > RECORD_BYTES_MAX or len(body) < length or zlib.crc32(body) != crc:
            return
        yield body
        at += _HEAD.size + length
