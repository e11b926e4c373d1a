"""A worker's output on disk: bounded without moving a byte, so that a reader's offsets stay true."""

import contextlib
import ctypes
from pathlib import Path

BYTES_MAX = 64 * 2**20
CHUNK_BYTES = 64 * 2**10
TAIL_BYTES = 4 * 2**10
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01


def path_of(log_dir: str, number: int, rank: int) -> Path:
    return Path(log_dir) / f"{number}-{rank}.log"


def read_chunk(path: Path, offset: int) -> bytes:
    """Up to 64 KiB from `offset`; empty at the end, or without a file. What was dropped reads as empty lines."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK_BYTES).replace(b"\0", b"\n")
    except FileNotFoundError:
        return b""


def last_line(path: Path) -> str:
    """The last line that says something."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip(" \0\r\t")), "")
    return ""


def bound(path: Path, bytes_max: int = BYTES_MAX) -> None:
    """Where it holds more than that on disk, give back all but the newer half; a program may go on writing meanwhile.

    The file's beginning becomes a hole. Filesystems that have no holes: it starts anew.
    """
    with contextlib.suppress(FileNotFoundError):
        state = path.stat()
        if state.st_blocks * 512 <= bytes_max:
            return
        with path.open("r+b") as file:
            if not _punch(file.fileno(), state.st_size - bytes_max // 2):
                file.truncate(0)


def _punch(descriptor: int, until: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    start, length = ctypes.c_int64(0), ctypes.c_int64(until)
    return bool(libc.fallocate64(descriptor, _PUNCH_HOLE_KEEP_SIZE, start, length) == 0)
