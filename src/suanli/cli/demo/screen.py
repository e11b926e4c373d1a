"""Where the demo is shown: a live picture on a terminal, lines elsewhere, nothing where a program reads."""

import sys
from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from suanli.cli.demo.day import BEGINS_S
from suanli.cli.demo.fleet_map import fleet_map
from suanli.cli.demo.scene import Scene, is_notable, time_of_day
from suanli.cli.events import told
from suanli.cli.render import clean, console_of
from suanli.cli.session import Session
from suanli.domain.events import Entry
from suanli.reports.quantities import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

EVENTS_SHOWN = 5
OTHER_LINES = 15
"""Of the picture, beside the queue."""

ROWS_MIN = 3
LINE_EVERY_S = 1800.0
"""Of the day, between two lines on how things stand."""


class Screen(Protocol):
    """`say` is for sentences that stay; `show` for how things stand."""

    def say(self, at_s: float, text: str) -> None: ...

    def show(self, scene: Scene) -> None: ...

    def close(self) -> None: ...


def screen_of(session: Session, midnight_s: float, urgent: Collection[str]) -> Screen:
    """`urgent` are workloads that are drawn as such."""
    if session.is_machine or session.quiet:
        return Nowhere()
    return LiveScreen(session, midnight_s, urgent) if session.is_terminal else LineScreen(midnight_s)


class Nowhere:
    """Shows nothing."""

    def say(self, at_s: float, text: str) -> None: ...

    def show(self, scene: Scene) -> None: ...

    def close(self) -> None: ...


class LiveScreen:
    """The picture renews itself: the fleet device by device, what waits and why, what happened last."""

    def __init__(self, session: Session, midnight_s: float, urgent: Collection[str]) -> None:
        from rich.live import Live

        self._midnight_s = midnight_s
        self._urgent = urgent
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._console = console_of(session)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def say(self, at_s: float, text: str) -> None:
        self._live.console.print(f"{time_of_day(at_s)}  {clean(text)}", markup=False, style="bold")

    def show(self, scene: Scene) -> None:
        notable = [entry for entry in scene.fresh if is_notable(entry.event)]
        self._events.extend(_line(entry, self._midnight_s) for entry in notable)
        self._live.update(self._drawn(scene), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _drawn(self, scene: Scene) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        room = max(ROWS_MIN, self._console.size.height - OTHER_LINES - EVENTS_SHOWN)
        events = "\n".join([*self._events, *[""] * (EVENTS_SHOWN - len(self._events))])
        return Group(
            Text(f"\n{time_of_day(scene.at_s)}  {scene.policy}", "bold", no_wrap=True),
            Text(_standing(scene), no_wrap=True),
            Text(""),
            fleet_map(scene.nodes, self._urgent),
            Text(""),
            _queue(scene, room),
            Text(""),
            Text(events, "dim", no_wrap=True, overflow="ellipsis"),
        )


class LineScreen:
    """For pipes and logs."""

    def __init__(self, midnight_s: float) -> None:
        self._midnight_s = midnight_s
        self._next_s = BEGINS_S

    def say(self, at_s: float, text: str) -> None:
        self._write(f"{time_of_day(at_s)}  {text}")

    def show(self, scene: Scene) -> None:
        for entry in scene.fresh:
            if is_notable(entry.event):
                self._write(f"  {_line(entry, self._midnight_s)}")
        if scene.at_s >= self._next_s:
            self._next_s = scene.at_s - scene.at_s % LINE_EVERY_S + LINE_EVERY_S
            self._write(f"{time_of_day(scene.at_s)}  {_standing(scene)}")
            for entry in scene.queue[:1]:
                self._write(f"       {entry['key']}  {entry['reason']}: {entry['sentence']}")

    def close(self) -> None: ...

    def _write(self, text: str) -> None:
        sys.stdout.write(clean(text) + "\n")
        sys.stdout.flush()


def _standing(scene: Scene) -> str:
    counts = scene.counts
    live = counts["starting"] + counts["running"] + counts["stopping"]
    said = f"{live} run, {counts['waiting']} wait, {counts['succeeded']} are done"
    return f"{said}; {scene.preemptions} preemption{'' if scene.preemptions == 1 else 's'}"


def _queue(scene: Scene, room: int) -> "RenderableType":
    """What waits, the first in turn first, a line each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    table.add_column("WAITS", no_wrap=True)
    table.add_column("PRIO", no_wrap=True, justify="right")
    table.add_column("FOR", no_wrap=True, justify="right")
    table.add_column("WHY", no_wrap=True, overflow="ellipsis", ratio=1)
    shown = scene.queue if len(scene.queue) <= room else scene.queue[: room - 1]
    for entry in shown:
        why = f"{entry['reason']}: {entry['sentence']}" if entry["reason"] else ""
        table.add_row(
            *(
                Text(clean(cell))
                for cell in (entry["key"], str(entry["priority"]), duration(entry["waited_s"]), why)
            )
        )
    if len(shown) < len(scene.queue):
        table.add_row(Text(f"and {len(scene.queue) - len(shown)} more", "dim"))
    for _ in range(room - max(len(shown) + (len(shown) < len(scene.queue)), 0)):
        table.add_row("")
    return table


def _line(entry: Entry, midnight_s: float) -> str:
    return clean(f"{time_of_day(entry.at_s - midnight_s)}  {told(entry.event)}")
