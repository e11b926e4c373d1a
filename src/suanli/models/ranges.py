"""Byte ranges as HTTP has them (RFC 9110, section 14): one at a time."""

import re

from suanli.domain.errors import UsageError

_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{0,19})")


class BadRange(UsageError):
    """That range of bytes is not in the file."""

    code = "SL-RANGE"
    http_status = 416


def byte_range(said: str, size_bytes: int) -> tuple[int, int]:
    """(first, one after the last) of a `Range` header; all of the file where it is empty. Raises BadRange."""
    if not said:
        return 0, size_bytes
    found = _RANGE.fullmatch(said.strip())
    if found is None or int(found[1]) >= size_bytes:
        raise BadRange(remedy="Send `bytes=FIRST-LAST`, or no Range.", evidence={"size_bytes": size_bytes})
    start = int(found[1])
    end = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
    if end <= start:
        raise BadRange(remedy="Send `bytes=FIRST-LAST`, or no Range.", evidence={"size_bytes": size_bytes})
    return start, end
