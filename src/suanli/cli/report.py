"""`report`: one offline HTML page of what happened."""

import time
from pathlib import Path
from typing import Annotated

import typer

from suanli.cli.session import Session, command


@command
def report(
    session: Session,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the page.")
    ] = Path("suanli-report.html"),
    metric: Annotated[
        list[str],
        typer.Option("--metric", metavar="NAME", help="A metric that programs report, to be drawn."),
    ] = ["loss"],  # noqa: B006 - typer's way, never changed
) -> None:
    """Write an HTML page of what happened.

    It opens offline: what ran when, why the rest waited, load of the nodes, what programs reported.
    """
    from suanli.cli.account import collect, page_data
    from suanli.reports.page import write

    client = session.connect()
    account = collect(client, time.time())
    title = f"Suanli, {time.strftime('%Y-%m-%d %H:%M', time.localtime(account.now_s))}"
    path = write(output.absolute(), page_data(account, client, title, metric))
    typer.echo(str(path))
