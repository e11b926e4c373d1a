"""The afternoon, simulated in a process of its own: compiling the loops takes seconds the first time."""

import multiprocessing
import signal
import time
from multiprocessing.pool import AsyncResult, Pool

from suanli.control.otherwise import Fork, play_on
from suanli.sim.outcome import Outcome


class Elsewhere:
    """`begin` at once, ask for the `outcomes` later; leaving ends the process, whatever it does."""

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._began_s = 0.0
        self._playing: AsyncResult[tuple[Outcome, ...]] | None = None

    def __enter__(self) -> "Elsewhere":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    def begin(self, fork: Fork) -> None:
        """For the main thread. The other process, which is started as this one is set, leaves Ctrl-C to this one.

        Nothing where the time to play is over: a slow machine may come to the switch after the end of the day.
        """
        if fork.at_s >= fork.to_s:
            return
        former = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._pool = multiprocessing.get_context("spawn").Pool(1)
        finally:
            signal.signal(signal.SIGINT, former)
        self._began_s = time.monotonic()
        self._playing = self._pool.apply_async(play_on, (fork,))

    def outcomes(self, limit_s: float) -> tuple[Outcome, ...]:
        """One for each policy of the fork; none where it was never begun, or takes longer than that since it was."""
        if self._playing is None:
            return ()
        try:
            return self._playing.get(max(0.0, self._began_s + limit_s - time.monotonic()))
        except multiprocessing.TimeoutError:
            return ()
