"""The stage of the demo: the real controller, store and API, on a fast clock and an engine without machines."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from suanli.api.server import beside
from suanli.cli.client import Client
from suanli.cli.demo.day import BEGINS_S, CONDITIONS, MORNING, Script
from suanli.control.clock import FastClock, SystemClock
from suanli.control.home import Home, claim
from suanli.control.machines import FAKE, Machines
from suanli.control.snapshot import held
from suanli.control.wiring import Running, Settings, build
from suanli.domain.errors import Unavailable, UsageError
from suanli.ports.fake_engine import FakeEngine
from suanli.telemetry.logs import configure_logs

TICK_S = 0.05
"""Seconds on the wall between two decisions."""

READY_S = 20.0
EVERY_S = 0.02


class Stage(msgspec.Struct, frozen=True):
    """What the story is played on. Instants of the controller are those of the day plus `midnight_s`."""

    client: Client
    running: Running
    engine: FakeEngine
    midnight_s: float

    def now_s(self) -> float:
        """Seconds of the day."""
        return self.running.controller.ports.clock.now_s() - self.midnight_s

    def lose_node(self, name: str) -> None:
        with held(self.running.controller):  # the engine is not for two threads
            self.engine.lose_node(name)

    def return_node(self, name: str) -> None:
        with held(self.running.controller):
            self.engine.return_node(name)


@contextmanager
def staged(home: Path, script: Script) -> Iterator[Stage]:
    """Up, a second on the wall before the day begins; all is ended on leaving. Raises UsageError, Unavailable."""
    speed, work_s = script.speed, script.work_s
    settings = Settings(home=home, port=0, engine=FAKE, policy=MORNING, tick_s=TICK_S * speed, detach=True)
    if Home(home).database.exists():
        raise UsageError(
            f"{home} holds the state of an earlier run.", remedy="Give another folder with `--home`."
        )
    with claim(home) as place, Path(os.devnull).open("w") as nowhere:
        configure_logs(place.log, terminal=nowhere)
        midnight_s = _midnight_s()
        clock = FastClock(SystemClock(), speed, midnight_s + BEGINS_S - speed)
        engine = FakeEngine(
            clock,
            script.fleet.nodes,
            work=lambda launch: work_s[launch.key],
            start_s=(CONDITIONS.start_s, CONDITIONS.restart_s),
            wind_down_s=CONDITIONS.stop_s,
            fence_s=CONDITIONS.stop_s,
        )
        here = Machines(engine, None, lambda: None)
        with build(settings, place, clock, here) as running, beside(settings, running) as (url, token):
            client = Client(url, token, home=home)
            _wait_until_ready(client)
            yield Stage(client, running, engine, midnight_s)


def _midnight_s() -> float:
    """The last one here, so that other commands show the hours of the day too."""
    today = time.localtime()
    return time.mktime((today.tm_year, today.tm_mon, today.tm_mday, 0, 0, 0, 0, 0, -1))


def _wait_until_ready(client: Client) -> None:
    ends_s = time.monotonic() + READY_S
    while not client.is_ready():
        if time.monotonic() > ends_s:
            raise Unavailable(
                f"The controller was not ready within {READY_S:g} s.", remedy="Is this machine very busy?"
            )
        time.sleep(EVERY_S)
