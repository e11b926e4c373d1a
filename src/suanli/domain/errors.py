"""The errors Suanli raises on purpose.

    SuanliError
    ├── SpecError           a declaration is wrong (file, line, field, what was expected)
    ├── UsageError          a command or request asks for something that makes no sense
    ├── NotFound            no workload, node or plan of that name
    ├── Conflict            the thing exists already, or has moved on
    │   ├── IllegalTransition   an event that the current state does not allow
    │   └── StaleWrite          the state changed since it was read
    ├── Deposed             another controller holds the lease
    ├── NotAuthorised       no token, a wrong token, or a token without the right
    └── Unavailable         something Suanli needs (engine, database, disk, port) cannot be reached

Every error carries a stable code, one sentence in the user's nouns, evidence, and a remedy; it is the same object
in the command line, the HTTP API (RFC 9457) and, later, the console. A class's docstring is its default sentence.
"""

from collections.abc import Mapping
from typing import Any


class SuanliError(Exception):
    """Suanli could not do what was asked."""

    code = "SL-UNEXPECTED"
    exit_code = 1
    http_status = 500

    def __init__(
        self,
        sentence: str = "",
        *,
        remedy: str = "",
        evidence: Mapping[str, Any] | None = None,
        code: str = "",
    ) -> None:
        self.sentence = sentence or (self.__doc__ or "").strip().splitlines()[0]
        self.remedy = remedy
        self.evidence: dict[str, Any] = dict(evidence or {})
        if code:
            self.code = code
        super().__init__(self.sentence)


class SpecError(SuanliError):
    """The declaration is wrong."""

    code = "SL-SPEC"
    exit_code = 2
    http_status = 422


class UsageError(SuanliError):
    """The request makes no sense as it stands."""

    code = "SL-USAGE"
    exit_code = 2
    http_status = 400


class NotFound(SuanliError):
    """There is nothing of that name."""

    code = "SL-NOT-FOUND"
    exit_code = 2
    http_status = 404


class Conflict(SuanliError):
    """What was asked conflicts with what is there."""

    code = "SL-CONFLICT"
    exit_code = 5
    http_status = 409


class IllegalTransition(Conflict):
    """The current state does not allow that event."""

    code = "SL-TRANSITION"


class StaleWrite(Conflict):
    """The state changed since it was read."""

    code = "SL-STALE"


class Deposed(SuanliError):
    """Another controller holds the lease; this one may not write."""

    code = "SL-DEPOSED"
    http_status = 503


class NotAuthorised(SuanliError):
    """A valid token is needed."""

    code = "SL-AUTH"
    exit_code = 6
    http_status = 401


class Unavailable(SuanliError):
    """Something Suanli needs cannot be reached."""

    code = "SL-UNAVAILABLE"
    http_status = 503
