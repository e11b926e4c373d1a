"""What went wrong with the database, in words that help."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from suanli.domain.errors import Unavailable

_LOCKED = (
    "is locked by another process",
    "Find the process that holds it (`fuser FILE` shows it) and end it, or wait; then try again.",
)
_FULL = ("cannot grow: its disk is full", "Free some space; Suanli goes on by itself.")
_READ_ONLY = ("may not be written", "Give this user the right to write the file and its folder.")
_DAMAGED = (
    "is damaged, or is no database at all",
    "Keep a copy, restore the last backup, or point Suanli at another file.",
)
_UNREADABLE = ("cannot be opened", "Check the path, the rights of its folders, and that the disk is mounted.")
_UNREACHABLE = ("cannot be reached", "Check that the database runs, and its URL, user and password.")
_REFUSING = ("answers with an error", "Read what it said; if the file is not Suanli's, choose another one.")
_TOO_BUSY = ("has had no free connection for too long", "Try again; if it stays so, look for slow requests.")

_BY_SQLITE_CODE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: _UNREADABLE,
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk reports an error", "Check the disk."),
}
_BY_SQLSTATE = {"53100": _FULL, "25006": _READ_ONLY, "55P03": _LOCKED, "XX001": _DAMAGED, "XX002": _DAMAGED}
_BY_ERRNO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EAGAIN: _LOCKED,
}

_OUR_OWN_FAULT = (exc.IntegrityError, exc.ProgrammingError, exc.DataError)


@contextmanager
def told_as_unavailable(where: str) -> Iterator[None]:
    """Turn failures of the database at `where` (no password in it) into Unavailable; bugs pass as they are."""
    try:
        yield
    except _OUR_OWN_FAULT:
        raise
    except (exc.DatabaseError, exc.InterfaceError) as error:
        raise _unavailable(where, _explain(error.orig), str(error.orig)) from error
    except exc.TimeoutError as error:
        raise _unavailable(where, _TOO_BUSY, str(error)) from error
    except OSError as error:
        raise _unavailable(where, _BY_ERRNO.get(error.errno or 0, _UNREADABLE), str(error)) from error


def _explain(original: BaseException | None) -> tuple[str, str]:
    if isinstance(original, sqlite3.Error):
        primary_code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        return _BY_SQLITE_CODE.get(primary_code, _REFUSING)
    return _BY_SQLSTATE.get(getattr(original, "sqlstate", None) or "", _UNREACHABLE)


def _unavailable(where: str, explained: tuple[str, str], said: str) -> Unavailable:
    what, remedy = explained
    return Unavailable(f"The database {where} {what}.", remedy=remedy, evidence={"database_said": said})
