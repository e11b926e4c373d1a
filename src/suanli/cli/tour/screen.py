"""Where the tour tells its story: a live table on a terminal, a line for each change elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from suanli.cli.render import Table, clean, console_of, listed
from suanli.cli.session import Session
from suanli.cli.tour.scene import Scene, View, line
from suanli.cli.views import because, is_final, progress, span

if TYPE_CHECKING:
    from rich.console import RenderableType

EVENTS_SHOWN = 6
MILESTONES = 5
"""Progress is a change worth a line each fifth of the way."""


class Screen(Protocol):
    """`say` is for sentences that stay; `show` for how things stand while the tour is `doing` something."""

    def say(self, text: str) -> None: ...

    def show(self, scene: Scene, doing: str) -> None: ...

    def close(self) -> None: ...


def screen_of(session: Session) -> Screen:
    return LiveScreen(session) if session.is_terminal else LineScreen()


def workload_table(workloads: Mapping[str, View]) -> Table:
    rows = [
        [
            view["key"],
            "ready" if view["ready"] else view["status"],
            listed(view["nodes"]) if view["attempt"] else "",
            progress(view),
            span(view["waited_s"]),
            because(view),
        ]
        for view in workloads.values()
    ]
    return Table(["WORKLOAD", "STATUS", "ON", "PROGRESS", "WAITED", "WHY"], rows)


class LiveScreen:
    """The table renews itself; below it what was decided and seen last."""

    def __init__(self, session: Session) -> None:
        from rich.live import Live

        self._session = session
        self._started_s = time.monotonic()
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._live = Live(console=console_of(session), auto_refresh=False, transient=True)
        self._live.start()

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False)

    def show(self, scene: Scene, doing: str) -> None:
        self._events.extend(
            f"{time.strftime('%H:%M:%S', time.localtime(e.at_s))}  {line(e)}" for e in scene.fresh
        )
        self._live.update(self._drawn(scene, doing), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _drawn(self, scene: Scene, doing: str) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        header = Text(f"{time.monotonic() - self._started_s:4.0f} s  {doing}", "bold")
        events = Text("\n".join(clean(event) for event in self._events), "dim")
        return Group(Text(""), header, Text(""), workload_table(scene.workloads).drawn(), Text(""), events)


class LineScreen:
    """For pipes and logs."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._doing = ""
        self._said: dict[str, tuple[str, int]] = {}

    def say(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def show(self, scene: Scene, doing: str) -> None:
        if doing != self._doing:
            self._doing = doing
            self._tell(doing)
        for entry in scene.fresh:
            self._tell(f"  {line(entry)}")
        for key, view in scene.workloads.items():
            now = (view["reason"] or "", _milestone(view))
            told = because(view) or progress(view)
            if told and not is_final(view) and self._said.get(key) != now:
                self._said[key] = now
                self._tell(f"  {key}  {told}")

    def close(self) -> None:
        pass

    def _tell(self, text: str) -> None:
        self.say(clean(f"{time.monotonic() - self._started_s:4.0f} s  {text}"))


def _milestone(view: View) -> int:
    said = view["progress"]
    return MILESTONES * said["step"] // said["total"] if said and said["total"] else -1
