"""`tour`: up, the story, the ending, down; the last of these whatever happens before."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanli.cli import background
from suanli.cli.client import connect
from suanli.cli.down import end
from suanli.cli.errors import TimedOut
from suanli.cli.files import sources
from suanli.cli.session import Session, command
from suanli.domain.errors import SuanliError, UsageError

if TYPE_CHECKING:
    from suanli.cli.tour.scene import Looker
    from suanli.cli.tour.screen import Screen

START_S = 120.0
STOP_S = 60.0
STOP_AT_ONCE_S = 30.0
EVERY_S = 1.0


@command
def tour(
    session: Session,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End by itself, instead of serving until Ctrl-C.")
    ] = False,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Folder for its state. Default: a new one in .suanli/ of this folder."),
    ] = None,
    examples: Annotated[Path | None, typer.Option("--examples", hidden=True)] = None,
    engine: Annotated[str, typer.Option("--engine", hidden=True)] = "embedded",
) -> None:
    """See all of it on this machine, in minutes.

    A GPT is trained on two workers, preempted by an urgent job, resumed, and served; a job that can't fit says why; a
    model of the registry finds functions of the standard library by what they do. Then the services go on until
    Ctrl-C. `--timeout` bounds each step. Needs a clone of the repository, for its `examples/quickstart`.
    """
    from suanli.cli.tour import ending, search, story
    from suanli.cli.tour.scene import Looker
    from suanli.cli.tour.screen import screen_of

    folder = examples or _quickstart()
    state = (home or Path(".suanli") / time.strftime("tour-%Y%m%d-%H%M%S")).absolute()
    session = replace(session, home=state)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdout.write(f"Bringing Suanli up on this machine; its state is in {state}.\n")
    sys.stdout.flush()
    with _controller(session, folder, engine), closing(screen_of(session)) as screen:
        client = connect(session.home)
        looker = Looker(client)
        story.run(client, looker, folder, screen, session.timeout_s)
        ending.ask(client, screen)
        search.play(client, looker, folder, session.home, screen, session.timeout_s)
        ending.sum_up(client, session.home, screen)
        for line in ending.what_next(session.home, serving=not once):
            screen.say(line)
        if not once:
            screen.say("\nServing until Ctrl-C, which shuts everything down.")
            _go_on(looker, screen)


def _quickstart() -> Path:
    """In the clone that this package was installed from, or in the folder one is in. Raises UsageError."""
    for root in (Path(__file__).parents[4], Path.cwd()):
        folder = root / "examples" / "quickstart"
        if (folder / "fleet.yaml").is_file():
            return folder
    raise UsageError(
        "The tour needs the folder examples/quickstart.", remedy="Run it in a clone of the repository."
    )


@contextmanager
def _controller(session: Session, folder: Path, engine: str) -> Iterator[None]:
    """A controller of the tour's own, ended in order whatever happens."""
    fleet = str(folder / "fleet.yaml")
    words = [
        "--detach",
        "--home",
        str(session.home),
        "--port",
        "0",
        "--gateway-port",
        "0",
        "--engine",
        engine,
        "--fleet",
        fleet,
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # so that `python` is this one
    env = {**os.environ, "PATH": path}
    try:
        background.start(replace(session, quiet=True), words, START_S, sources([fleet]), env)
        yield
    except SuanliError:
        if background.running(session.home) is None:
            for line in background.last_words(session.home):
                sys.stderr.write(f"{line}\n")
        raise
    finally:
        _end(session)


def _end(session: Session) -> None:
    """In order, and where that takes too long or Ctrl-C comes again, at once."""
    if background.running(session.home) is None:
        return
    sys.stdout.write("Shutting down ...\n")
    sys.stdout.flush()
    try:
        end(replace(session, timeout_s=STOP_S), keep_work=False)
    except (TimedOut, KeyboardInterrupt):
        end(replace(session, timeout_s=STOP_AT_ONCE_S), keep_work=False)  # a second signal ends it at once


def _go_on(looker: "Looker", screen: "Screen") -> None:
    try:
        while True:
            screen.show(looker.look(), "serving")
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return
