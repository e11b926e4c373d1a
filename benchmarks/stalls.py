"""Whether the machine stood still while something was timed: a thread that does next to nothing, and notes how late it
was.

It sleeps shortly, and so keeps the machine awake as well: a virtual machine that is nearly idle may leave a process
that could run where it is for up to a second, and does so less while something asks for a processor each millisecond.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from types import TracebackType

TICK_S, BEAT_S = 0.001, 0.02


class Stalls(threading.Thread):
    """`with Stalls() as stalls: ...`, then `stalls.worst_s` is the longest that it overslept, and was at what it does
    `each` time."""

    def __init__(self, tick_s: float = TICK_S, each: Callable[[], object] = lambda: None) -> None:
        super().__init__(daemon=True)
        self.worst_s = 0.0
        self._tick_s = tick_s
        self._each = each
        self._ends = threading.Event()

    def run(self) -> None:
        while not self._ends.is_set():
            began_s = time.perf_counter()
            time.sleep(self._tick_s)
            self._each()
            self.worst_s = max(self.worst_s, time.perf_counter() - began_s - self._tick_s)

    def __enter__(self) -> "Stalls":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self.join()


class Beat:
    """The same of an event loop: `worst_s` is how late its timers were at most since `begin`. One process may stand
    still while the others go on."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    def begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.worst_s, self._due_s = 0.0, self._loop.time()
        self._tick()

    def _tick(self) -> None:
        now_s = self._loop.time()
        self.worst_s = max(self.worst_s, now_s - self._due_s)
        self._due_s = now_s + BEAT_S
        self._loop.call_at(self._due_s, self._tick)
