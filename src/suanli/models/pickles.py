"""Telling a pickle by its content. Nothing is ever unpickled here: its instructions are only read."""

import io
import pickletools
import zipfile
from typing import BinaryIO

BYTES_READ = 2**18
RUNS_CODE = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"})
"""Instructions by which loading calls what the file names."""

ENTRIES_READ = 10_000
NPY_HEADER_BYTES = 4096


def pickle_inside(file: BinaryIO) -> str:
    """What makes this a pickle, or something that carries one; "" where it is none."""
    file.seek(0)
    head = file.read(8)
    if head.startswith(b"PK\x03\x04"):
        return _zipped(file)
    if head.startswith(b"\x93NUMPY"):
        return _objects(file)
    if _is_pickle(file, binary=head[:1] == b"\x80"):
        return "it is a pickle, and loading it runs whatever program it holds"
    return ""


def _zipped(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [entry.filename for entry in archive.infolist()[:ENTRIES_READ]]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return ""
    if any(name.endswith(".pkl") for name in names):
        return (
            "it is an archive of torch.save: a pickle in a zip, and loading it runs whatever program it holds"
        )
    return ""


def _objects(file: BinaryIO) -> str:
    """NumPy's header says the type; `O` stands for Python objects, which are pickled behind it."""
    file.seek(0)
    header = file.read(NPY_HEADER_BYTES).partition(b"\n")[0]
    _, _, described = header.partition(b"'descr':")
    if b"O" in described.partition(b"'fortran_order'")[0]:
        return "it is an array of Python objects, which are pickled, and loading it runs whatever program they hold"
    return ""


def _is_pickle(file: BinaryIO, *, binary: bool) -> bool:
    """Protocols 2 and later begin with 0x80; 0 and 1 look like text, and are told by reaching their end.

    A random file stops at its first instructions. O(BYTES_READ).
    """
    file.seek(0)
    head = io.BytesIO(file.read(BYTES_READ))  # an instruction may ask for as many bytes as it likes
    ran, count = False, 0
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(head), 1):
            if count == 1 and opcode.name == "PROTO" and not 2 <= int(argument or 0) <= 5:
                return False
            ran = ran or opcode.name in RUNS_CODE
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError, MemoryError):
        return (binary and count >= 8) or (ran and count >= 4)  # cut off, or damaged: it began as one
    return binary or ran
