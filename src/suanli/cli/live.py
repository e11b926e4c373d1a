"""Watching: a table that renews itself on a terminal, a line for each change elsewhere. Ctrl-C ends it, with 0."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from suanli.cli.errors import TimedOut
from suanli.cli.render import Table, console_of
from suanli.cli.session import Session
from suanli.domain.errors import UsageError

EVERY_S = 1.0

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until Ctrl-C.")]
Look = Callable[[], Mapping[str, Any]]


def show_or_watch(
    session: Session, look: Look, table_of: Callable[[Mapping[str, Any]], Table], watch: bool
) -> None:
    if not watch:
        body = look()
        session.show(body, lambda: table_of(body))
        return
    if session.is_machine:
        raise UsageError(
            "`--watch` shows a table.", remedy="`suanli events --follow -o json` prints what happens."
        )
    watch_table(session, lambda: table_of(look()))


def watch_table(session: Session, look: Callable[[], Table]) -> None:
    """Show what `look` returns, again and again, until Ctrl-C or the session's time-out, which is an error."""
    ends_s = time.monotonic() + (session.timeout_s or float("inf"))
    try:
        if session.is_terminal:
            _renew(session, look, ends_s)
        else:
            _print_changes(look, ends_s)
    except KeyboardInterrupt:
        return
    raise TimedOut(f"Watched for {session.timeout_s:g} s, as `--timeout` asks.")


def _renew(session: Session, look: Callable[[], Table], ends_s: float) -> None:
    from rich.live import Live

    with Live(console=console_of(session), auto_refresh=False, vertical_overflow="ellipsis") as live:
        while time.monotonic() < ends_s:
            live.update(look().drawn(), refresh=True)
            time.sleep(EVERY_S)


def _print_changes(look: Callable[[], Table], ends_s: float) -> None:
    """The rows that differ from the last look in more than what changes all the time."""
    seen: set[tuple[str, ...]] | None = None
    while time.monotonic() < ends_s:
        table = look()
        fresh = [row for row in table.rows if table.steady(row) not in (seen or ())]
        if fresh or seen is None:
            lines = Table(table.columns, fresh).plain().splitlines(keepends=True)
            sys.stdout.writelines(lines if seen is None else lines[1:])
            sys.stdout.flush()
        seen = {table.steady(row) for row in table.rows}
        time.sleep(EVERY_S)
