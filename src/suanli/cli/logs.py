"""`logs`: what a worker wrote, and goes on writing, over its attempts."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from suanli.cli.client import Client, path_of
from suanli.cli.errors import TimedOut
from suanli.cli.session import Session, command
from suanli.cli.views import is_final

EVERY_S = 0.3


@command
def logs(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A workload, or a replica such as chat/0.")],
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until it has ended, or Ctrl-C.")
    ] = False,
    rank: Annotated[int, typer.Option("--rank", min=0, help="Which worker of a gang.")] = 0,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Which attempt. Default: the last.")
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, metavar="N", help="Only the last N lines.")
    ] = None,
) -> None:
    """Print what a worker has written to stdout and stderr."""
    client = session.connect()
    reader = _Reader(client, name, rank)
    text = reader.all_of(attempt)
    _write(last_lines(text, tail) if tail is not None else text)
    if follow:
        try:
            _follow(session, reader, pinned=attempt is not None)
        except KeyboardInterrupt:
            return


def written(client: Client, name: str, attempt: int | None = None) -> Iterator[str]:
    """All that the first worker of an attempt, by default the last, has written so far."""
    return _Reader(client, name, 0).all_of(attempt)


class _Reader:
    """A place in one worker's log: attempt and byte."""

    def __init__(self, client: Client, name: str, rank: int) -> None:
        self.attempt: int | None = None
        self.ended = False
        self._client, self._name, self._rank, self._offset = client, name, rank, 0

    def all_of(self, attempt: int | None) -> Iterator[str]:
        """From the beginning of an attempt to what is there now."""
        self.attempt, self._offset = attempt, 0
        while piece := self.more():
            yield piece

    def more(self) -> str:
        body = self._client.get(
            path_of("logs", self._name), attempt=self.attempt, rank=self._rank, offset=self._offset
        )
        self.attempt, self._offset, self.ended = body["attempt"], body["next_offset"], body["ended"]
        return body["text"]

    def later_attempt(self) -> int | None:
        """The number of a later attempt, None where there is none yet."""
        latest = self._view()["attempts_made"]
        return latest if self.attempt is None or latest > self.attempt else None

    def is_over(self) -> bool:
        return is_final(self._view())

    def _view(self) -> dict[str, Any]:
        return self._client.get(path_of("workloads", self._name))["workloads"][0]


def _follow(session: Session, reader: _Reader, pinned: bool) -> None:
    ends_s = time.monotonic() + (session.timeout_s or float("inf"))
    while time.monotonic() < ends_s:
        over = reader.ended and (pinned or reader.is_over())
        piece = reader.more()
        if piece:
            _write(iter([piece]))
            continue
        if over:
            return
        if reader.ended and not pinned and (later := reader.later_attempt()):
            session.note(f"-- attempt {later} --")
            _write(reader.all_of(later))
            continue
        time.sleep(EVERY_S)
    raise TimedOut(f"Followed for {session.timeout_s:g} s, as `--timeout` asks.")


def last_lines(text: Iterator[str], count: int) -> Iterator[str]:
    """O(text) time, O(count) memory."""
    lines: deque[str] = deque(maxlen=count + 1)
    rest = ""
    for piece in text:
        *whole, rest = (rest + piece).split("\n")
        lines.extend(line + "\n" for line in whole)
    if rest:
        lines.append(rest)
    return iter(list(lines)[-count:] if count else [])


def _write(pieces: Iterator[str]) -> None:
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
