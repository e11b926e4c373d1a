"""Telling a pickle by its content. Nothing is ever unpickled here: its instructions are only read."""

import pickletools
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

RUNS_CODE = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"})
"""Instructions by which loading calls what the file names."""

INSTRUCTIONS_MAX = 100_000
LINE_BYTES_MAX = 2**20
"""Of an argument that ends with its line. Whoever needs more than either of these is taken for a pickle."""

NPY_HEADER_BYTES = 4096

OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}

LENGTH_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
"""By how pickletools says that an argument begins with its length: what that takes."""

LINES = {
    "STRING": re.compile(rb"\s*(['\"]).*\1\s*", re.DOTALL),
    "INT": re.compile(rb"\s*[+-]?(0[xob])?[0-9a-f_]+\s*", re.IGNORECASE),
    "LONG": re.compile(rb"\s*[+-]?(0[xob])?[0-9a-f_]+L?\s*", re.IGNORECASE),
}
"""Arguments that loaders take in more spellings than pickletools does."""


class _Endless(Exception):
    """An instruction that is not read to its end."""


def pickle_inside(file: BinaryIO) -> str:
    """What makes this a pickle, or something that carries one; "" where it is none."""
    file.seek(0)
    head = file.read(8)
    if head.startswith(b"PK\x03\x04"):
        # No weights are zipped, so that the directory, which may be huge or hide a name, need not be read.
        return "it is a zip, as torch.save writes it around a pickle, and loading that runs whatever program it holds"
    if head.startswith(b"\x93NUMPY"):
        return _objects(file)
    if _is_pickle(file, binary=head[:1] == b"\x80"):
        return "it is a pickle, and loading it runs whatever program it holds"
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

    A random file stops at its first instructions. O(INSTRUCTIONS_MAX).
    """
    ran, count = False, 0
    try:
        for count, (name, argument) in enumerate(_instructions(file), 1):
            if count == 1 and name == "PROTO" and not 2 <= int(argument or 0) <= 5:
                return False
            if count > INSTRUCTIONS_MAX:
                return True
            ran = ran or name in RUNS_CODE
    except _Endless:
        return True
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError, MemoryError):
        return (binary and count >= 8) or (ran and count >= 4)  # cut off, or damaged: it began as one
    return binary or ran


def _instructions(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """Names and short arguments until STOP; long ones are leapt over, whose ends may lie anywhere in the file.

    Raises ValueError where no instruction is, _Endless where a line does not end.
    """
    size_bytes = file.seek(0, 2)
    file.seek(0)
    while True:
        opcode = OPCODES.get(file.read(1).decode("latin-1"))
        if opcode is None:
            raise ValueError("no instruction")
        yield opcode.name, _argument(opcode, file, size_bytes)
        if opcode.name == "STOP":
            return


def _argument(opcode: pickletools.OpcodeInfo, file: BinaryIO, size_bytes: int) -> Any:
    described = opcode.arg
    if described is None:
        return None
    if described.n == pickletools.UP_TO_NEWLINE:
        return _lines(opcode, described, file)
    length_bytes = LENGTH_BYTES.get(described.n)
    if length_bytes is None:
        return described.reader(file)
    end = int.from_bytes(file.read(length_bytes), "little") + file.tell()
    if end > size_bytes:
        raise ValueError("an argument beyond the end of the file")
    file.seek(end)
    return None


def _lines(opcode: pickletools.OpcodeInfo, described: pickletools.ArgumentDescriptor, file: BinaryIO) -> Any:
    at = file.tell()
    lines = [
        file.readline(LINE_BYTES_MAX) for _ in range(2 if described.name == "stringnl_noescape_pair" else 1)
    ]
    if any(len(line) == LINE_BYTES_MAX for line in lines):
        raise _Endless
    loose = LINES.get(opcode.name)
    if loose is None:
        file.seek(at)
        return described.reader(file)
    if not loose.fullmatch(lines[0]):
        raise ValueError("no such argument")
    return None
