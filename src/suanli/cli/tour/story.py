"""The tour's steps: what is handed in when, what each step waits for, and for how long at most."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from suanli.cli.client import Client, path_of
from suanli.cli.errors import TimedOut
from suanli.cli.explaining import told
from suanli.cli.files import sources
from suanli.cli.logs import last_lines, written
from suanli.cli.tour.scene import Looker, Scene
from suanli.cli.tour.screen import Screen
from suanli.domain.errors import SuanliError

GPT, DIGITS, NUMPY, CHAT = "gpt", "digits", "numpy", "chat/0"
AT_FIRST = ("gpt.yaml", "too-big.yaml", "numpy.yaml", "serve.yaml")
URGENT = ("digits.yaml",)
EVERY_S = 0.5
LOG_LINES = 20


class TourFailed(SuanliError):
    """A part of the tour failed."""

    code = "SL-TOUR"


@dataclass(frozen=True)
class Step:
    """`files` are handed in at its beginning; then it lasts until `is_done`, at most `limit_s`."""

    doing: str
    waits_for: str
    is_done: Callable[[Scene], bool]
    limit_s: float
    files: Sequence[str] = ()
    said: str = ""


STEPS = (
    Step(
        doing="the GPT trains on two workers; everything else finds its place, or a reason to wait",
        waits_for=GPT,
        is_done=lambda scene: scene.has_checkpoint(GPT),
        limit_s=120.0,
        files=AT_FIRST,
        said="A fleet of two cores is declared. Handing in a GPT to train, a job that can't fit, a small one, "
        "and a service.",
    ),
    Step(
        doing="a short job of higher priority came: the GPT saves its work and steps aside",
        waits_for=DIGITS,
        is_done=lambda scene: scene.status(DIGITS) == "succeeded",
        limit_s=90.0,
        files=URGENT,
        said="The GPT has made a checkpoint. Handing in an urgent job: there is no room beside the GPT.",
    ),
    Step(
        doing="the GPT goes on from the step at which it stopped",
        waits_for=GPT,
        is_done=lambda scene: scene.status(GPT) == "succeeded",
        limit_s=240.0,
    ),
    Step(
        doing="what the GPT learnt is loaded by the service that waited for it",
        waits_for=CHAT,
        is_done=lambda scene: scene.is_ready(CHAT) and scene.status(NUMPY) == "succeeded",
        limit_s=90.0,
    ),
)


def run(client: Client, looker: Looker, folder: Path, screen: Screen, limit_s: float | None = None) -> None:
    """All steps, each within its own limit and within `limit_s`.

    Raises TourFailed where a part failed, TimedOut where one took too long, having said what is known of it.
    """
    for step in STEPS:
        if step.said:
            screen.say(step.said)
        if step.files:
            apply(client, [str(folder / file) for file in step.files])
        _watch(client, looker, step, screen, min(step.limit_s, limit_s or step.limit_s))


def apply(client: Client, files: Sequence[str]) -> None:
    client.post(path_of("apply"), {"sources": sources(files)})


def _watch(client: Client, looker: Looker, step: Step, screen: Screen, limit_s: float) -> None:
    ends_s = time.monotonic() + limit_s
    while True:
        scene = looker.look()
        screen.show(scene, step.doing)
        if step.is_done(scene):
            return
        if failed := scene.failed():
            _account_for(failed[0], client, screen)
            raise TourFailed(f"{failed[0]} {scene.status(failed[0])}, while {step.doing}.")
        if time.monotonic() > ends_s:
            _account_for(step.waits_for, client, screen)
            raise TimedOut(f"{step.waits_for} took longer than {limit_s:g} s, while {step.doing}.")
        time.sleep(EVERY_S)


def _account_for(key: str, client: Client, screen: Screen) -> None:
    """What is known of a workload that went wrong."""
    body = client.get(path_of("explain", key), level=2)
    screen.say("\n".join(told(explanation, 2) for explanation in body["explanations"]))
    screen.say("".join([f"Last lines of {key}:\n", *last_lines(written(client, key), LOG_LINES)]))
