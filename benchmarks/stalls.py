"""Whether the machine stood still while something was timed: a thread that does nothing but sleep, and notes how late
it woke."""

import threading
import time
from types import TracebackType

TICK_S = 0.005


class Stalls(threading.Thread):
    """`with Stalls() as stalls: ...`, then `stalls.worst_s` is the longest that it overslept."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst_s = 0.0
        self._ends = threading.Event()

    def run(self) -> None:
        while not self._ends.is_set():
            began_s = time.perf_counter()
            time.sleep(TICK_S)
            self.worst_s = max(self.worst_s, time.perf_counter() - began_s - TICK_S)

    def __enter__(self) -> "Stalls":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self.join()
