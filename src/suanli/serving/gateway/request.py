"""One HTTP request as the gateway has understood it, read from its head by strict rules."""

import re
import secrets
from itertools import count

from suanli.serving.gateway.heads import KEPT_OF_REQUESTS, without_named
from suanli.serving.gateway.problems import Problem, Refused

HEAD_BYTES_MAX = 32 * 2**10
HEADERS_MAX = 100

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}\Z")
_SCHEME = re.compile(rb"(?i)https?://[^/?#]*")

_prefix = secrets.token_hex(6).encode()
_numbers = count(1)


def renew_ids() -> None:
    """In a process of its own: no two workers give the same ids."""
    global _prefix  # noqa: PLW0603 - one for each process
    _prefix = secrets.token_hex(6).encode()


def new_id() -> bytes:
    return b"%b-%x" % (_prefix, next(_numbers))


class Request:
    """Head, then body. `lines` are the header lines to pass on; `kept` are the values of those that stay here."""

    __slots__ = (
        "body", "close", "head_bytes", "head_only", "id", "kept", "length", "lines", "method", "old", "session",
        "target",
    )  # fmt: skip

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.lines: list[bytes] = []
        self.kept: dict[bytes, bytes] = {}
        self.session: bytes | None = None
        self.head_bytes = 0
        self.id = b""
        self.length: int | None = None  # of the body, where the head tells
        self.old = False  # HTTP/1.0: knows no chunks
        self.close = False  # the connection ends with the answer
        self.head_only = False
        self.body = b""

    def add_target(self, piece: bytes) -> None:
        """Raises `Refused` where the head grows too long; so does `add_header`."""
        self.target += piece
        self._grow(len(piece))

    def add_header(self, name: bytes, value: bytes) -> None:
        self._grow(len(name) + len(value) + 4)
        name = name.lower()
        if name in KEPT_OF_REQUESTS:
            if name in self.kept:
                if name == b"host" or name == b"authorization":
                    raise Refused(
                        Problem(400, "malformed_request", f"The header {name.decode()} is there twice.")
                    )
                value = self.kept[name] + b", " + value
            self.kept[name] = value
        else:
            if name == b"x-session-id":
                self.session = value
            self.lines.append(b"%b: %b\r\n" % (name, value))

    def _grow(self, size: int) -> None:
        self.head_bytes += size
        if self.head_bytes > HEAD_BYTES_MAX or len(self.lines) >= HEADERS_MAX:
            raise Refused(too_long())

    def complete_head(self, method: bytes, version: str, keep_alive: bool) -> None:
        """Raises `Refused` for what two readers could understand in two ways, and for what isn't spoken here."""
        kept = self.kept
        self.method = method
        self.head_only = method == b"HEAD"
        self.close = not keep_alive
        self.old = version == "1.0"
        given = kept.get(b"x-request-id")
        self.id = given if given and _SANE_ID.match(given) else new_id()
        if version != "1.1" and not self.old:
            raise Refused(Problem(400, "malformed_request", "Only HTTP/1.1 and HTTP/1.0 are spoken here."))
        if b"host" not in kept and not self.old:
            raise Refused(Problem(400, "malformed_request", "A request by HTTP/1.1 needs a Host."))
        self._frame()
        if b"connection" in kept:
            self.lines = without_named(self.lines, kept[b"connection"])
        if not self.target.startswith(b"/"):
            self._take_absolute()

    def _frame(self) -> None:
        length, coding = self.kept.get(b"content-length"), self.kept.get(b"transfer-encoding")
        if coding is not None and (length is not None or coding.lower() != b"chunked" or self.old):
            raise Refused(
                Problem(
                    400,
                    "malformed_request",
                    "A body is framed either by Content-Length or by Transfer-Encoding: chunked.",
                )
            )
        if length is not None:
            if not (length.isdigit() and len(length) < 19):
                raise Refused(Problem(400, "malformed_request", "Content-Length must be one number."))
            self.length = int(length)
        elif coding is None:
            self.length = 0

    def _take_absolute(self) -> None:
        """`GET http://host/path`, as to a proxy."""
        found = _SCHEME.match(self.target)
        rest = self.target[found.end() :] if found else b""
        if not found or (rest and rest[:1] not in b"/?"):
            raise Refused(Problem(400, "malformed_request", "The target of the request must be a path."))
        self.target = rest if rest.startswith(b"/") else b"/" + rest


def too_long() -> Problem:
    limit = f"{HEAD_BYTES_MAX // 2**10} KiB and {HEADERS_MAX} headers"
    return Problem(431, "head_too_long", f"The head of the request is longer than {limit}.")
