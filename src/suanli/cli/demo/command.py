"""`demo`: the stage, the day, the ending."""

import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanli.cli.files import typed
from suanli.cli.session import Session, command

if TYPE_CHECKING:
    from suanli.cli.demo.day import Script
    from suanli.cli.demo.elsewhere import Elsewhere
    from suanli.cli.demo.screen import Screen
    from suanli.cli.demo.stage import Stage

SIMULATED_WITHIN_S = 30.0
"""Since the policy was switched; where that takes longer, on a slow machine, the page comes without it."""


@command
def demo(
    session: Session,
    *,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed brings the same work.")] = 0,
    speed: Annotated[
        float, typer.Option("--speed", min=60.0, max=20_000.0, help="How many times faster than the clock.")
    ] = 600.0,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", help="Folder for its state and its page. Default: a new one in .suanli/ of this folder."
        ),
    ] = None,
) -> None:
    """Play a day on 64 simulated accelerators, in less than a minute.

    From nine to half past four, 600 times as fast as the clock. The controller, its store and its API are the real
    ones; no GPU, Ray or network is needed. Urgent work takes room, a node is lost and comes back, the policy is
    switched as all goes on. Ends with what that changed, beside simulations, and a page that opens offline; Ctrl-C ends
    it earlier with what there is.
    """
    began_s = time.monotonic()
    state = (home or Path(".suanli") / time.strftime("demo-%Y%m%d-%H%M%S")).absolute()
    _welcome(session, state)
    from suanli.cli.demo import day, ending
    from suanli.cli.demo.aftermath import aftermath_of
    from suanli.cli.demo.elsewhere import Elsewhere
    from suanli.cli.demo.screen import screen_of
    from suanli.cli.demo.stage import staged

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    script = day.script(seed, speed)
    with Elsewhere() as elsewhere:
        with staged(state, script) as stage:
            with closing(screen_of(session, stage.midnight_s, script.urgent)) as screen:
                is_cut = _live(stage, script, screen, elsewhere)
            aftermath = aftermath_of(stage, script, is_cut=is_cut)
        simulated = elsewhere.outcomes(0.0 if is_cut else SIMULATED_WITHIN_S)
    ending.tell(session, state, aftermath, simulated, began_s)


def _welcome(session: Session, state: Path) -> None:
    """Before anything that takes time is loaded."""
    if session.is_machine or session.quiet:
        return
    shown = typed(state)
    sys.stdout.write(
        f"A real controller, whose state is in {shown}; its machines and its clock are simulated.\n"
        f"From another terminal: suanli ps --home {shown}; queue, nodes, explain NAME, events likewise.\n\n"
    )
    sys.stdout.flush()


def _live(stage: "Stage", script: "Script", screen: "Screen", elsewhere: "Elsewhere") -> bool:
    """The day, to its end or to Ctrl-C: whether it was cut off."""
    from suanli.cli.demo import story
    from suanli.cli.demo.aftermath import fork_of

    try:
        story.open_doors(stage, screen)
        story.live(stage, script.moments, screen, lambda: elsewhere.begin(fork_of(stage, script)))
    except KeyboardInterrupt:
        return True
    return False
