"""A server process for tests, by default on machines that exist in memory.

`up.py HOME PORT [broken] [embedded] [leased]`: `leased` takes a lease of an hour."""

import sys
from pathlib import Path
from typing import Any

from suanli.api.server import serve
from suanli.control import controller
from suanli.control.controller import Controller
from suanli.control.machines import EMBEDDED, FAKE
from suanli.control.wiring import Settings
from suanli.domain.errors import SuanliError
from suanli.domain.fleet import Node


def break_down(self: Any) -> None:
    raise ZeroDivisionError("a mistake that nobody foresaw")


if __name__ == "__main__":
    home, port, *rest = sys.argv[1:]
    if "broken" in rest:
        Controller.cycle = break_down
    if "leased" in rest:
        controller.LEASE_S = 3600.0
    settings = Settings(
        home=Path(home),
        port=int(port),
        engine=EMBEDDED if EMBEDDED in rest else FAKE,
        fake_nodes=(Node(name="n0", cpus=4, memory_bytes=2**34),),
        tick_s=0.05,
    )
    try:
        serve(settings)
    except SuanliError as error:
        sys.stderr.write(f"{error.code}: {error.sentence} {error.evidence}\n")
        sys.exit(error.exit_code)
