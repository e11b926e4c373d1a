"""How far long work is: one line on stderr that changes in place; where that is no terminal, a line now and then."""

import sys
import time

from suanli.cli.session import Session

IN_PLACE_EVERY_S, LINE_EVERY_S = 0.2, 10.0


class ProgressLine:
    """Says what it is told to, no more often than one can read it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._in_place = sys.stderr.isatty() and not session.quiet and not session.is_machine
        self._every_s = IN_PLACE_EVERY_S if self._in_place else LINE_EVERY_S
        self._said_s = time.monotonic()

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._said_s >= self._every_s

    def say(self, text: str) -> None:
        self._said_s = time.monotonic()
        if self._in_place:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        else:
            self._session.note(text)

    def end(self) -> None:
        """Leave no half line behind."""
        if self._in_place:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
