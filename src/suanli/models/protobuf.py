"""Walking protobuf messages in a file without loading it: enough to tell ONNX from something else, and to look inside.

The wire format: a key (field number and type) and a value; of type 2 a length and so many bytes, which may be another
message. Nothing is allocated by what a file says but the few short strings that are asked for.
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

FIELDS_MAX = 5_000_000
"""In all of a file: the largest published graphs have some 100,000. Reading that many takes ten seconds."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Malformed(ValueError):
    """These bytes are no such message."""


class Field(NamedTuple):
    """`value` of a number; of bytes, they lie from `start` to `end` in the file."""

    number: int
    type: int
    value: int
    start: int
    end: int


class Walk:
    """Through one file, at most so many fields far."""

    def __init__(self, file: BinaryIO, fields_max: int = FIELDS_MAX) -> None:
        self._file = file
        self._left = fields_max

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Those of the message between two offsets, in order. O(fields). Raises Malformed."""
        at = start
        while at != end:
            self._left -= 1
            if self._left < 0:
                raise Malformed("too many fields")
            self._file.seek(at)
            key, at = self._varint(at, end)
            number, kind = key >> 3, key & 7
            if not 0 < number < 2**29:
                raise Malformed("a field without a number")
            if kind == VARINT:
                value, at = self._varint(at, end)
                yield Field(number, kind, value, at, at)
                continue
            size = 8 if kind == FIXED64 else 4 if kind == FIXED32 else -1
            if kind == BYTES:
                size, at = self._varint(at, end)
            if size < 0 or size > end - at:
                raise Malformed("a field beyond the end")
            yield Field(number, kind, 0, at, at + size)
            at += size

    def read(self, field: Field, bytes_max: int) -> bytes:
        """Raises Malformed for a longer one."""
        if field.end - field.start > bytes_max:
            raise Malformed("a string that is too long")
        self._file.seek(field.start)
        return self._file.read(field.end - field.start)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._file.read(1) if at < end else b""
            if not byte:
                raise Malformed("a number that is cut off")
            at += 1
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value, at
        raise Malformed("a number that is too long")
