"""Requests are joined into batches as large as a latency bound allows, by what batches were measured to take.

`Pace`, `units_max` and `choose` are pure and decide; `Batcher` carries it out on asyncio.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

MEMORY = 0.97
"""How much of a batch's weight in the fit is left after the next one: about 30 batches count."""
PERCENTILE, LEARNING = 0.95, 0.1
COMPANY = 0.3
"""A batch waits for more where at least so many of the latest requests came while another was waiting or worked on:
else the model is idle most of the time, and waiting only costs."""
WINDOW = 4
"""Among how many batches' worth of the oldest items those of like length are looked for."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """A straight line through the seconds of past batches over their size, as decayed sums: least squares.

    `spread` tracks the 95th percentile of measured over predicted seconds (Robbins and Monro's stochastic
    approximation in multiplicative steps: up by 95 parts where exceeded, else down by 5).
    """

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    spread: float = 1.0

    @property
    def line(self) -> tuple[float, float]:
        """Seconds of an empty batch and seconds per unit, neither negative; (0, 0) while nothing is known."""
        if not self.weight:
            return 0.0, 0.0
        variance = self.weight * self.xx - self.x * self.x
        if variance <= 1e-9 * self.weight * self.xx:  # all batches had one size: count all of it as per unit
            return 0.0, self.xy / self.xx
        slope = (self.weight * self.xy - self.x * self.y) / variance
        start = (self.y - slope * self.x) / self.weight
        if slope < 0:
            return self.y / self.weight, 0.0
        return (start, slope) if start >= 0 else (0.0, self.xy / self.xx)

    def seconds(self, units: float) -> float:
        fixed_s, unit_s = self.line
        return fixed_s + unit_s * units

    def observed(self, units: float, seconds: float) -> "Pace":
        spread, expected = self.spread, self.seconds(units)
        if expected > 0:
            above = seconds > expected * spread
            spread *= math.exp(LEARNING * (PERCENTILE if above else PERCENTILE - 1))
        return Pace(
            weight=MEMORY * self.weight + 1,
            x=MEMORY * self.x + units,
            y=MEMORY * self.y + seconds,
            xx=MEMORY * self.xx + units * units,
            xy=MEMORY * self.xy + units * seconds,
            spread=min(5.0, max(1.0, spread)),
        )


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`latency_max_s` bounds the 95th percentile from an item's arrival to its result; None: no bound."""

    batch_max: int = 32
    wait_s: float = 0.005
    latency_max_s: float | None = None
    queue_max: int = 4096


def units_max(pace: Pace, limits: Limits) -> float:
    """The largest batch that keeps the bound: an item waits to be joined, then at worst for a batch of the same size
    that has just begun, then for its own."""
    if limits.latency_max_s is None:
        return math.inf
    fixed_s, unit_s = pace.line
    budget_s = (limits.latency_max_s - limits.wait_s) / 2 / pace.spread - fixed_s
    return math.inf if unit_s == 0 else max(0.0, budget_s / unit_s)


def choose(lengths: Sequence[float], most: float, batch_max: int) -> list[int]:
    """Which of the waiting items, oldest first, make the next batch, in their order.

    The oldest always does; the others are those nearest to it in length, for a batch costs its longest item times its
    count. It ends at `batch_max` items, at `most` units, and before half of it would be padding. O(n log n).
    """
    by_nearness = sorted(range(1, len(lengths)), key=lambda at: abs(lengths[at] - lengths[0]))
    chosen, longest, filled = [0], lengths[0], lengths[0]
    for at in by_nearness:
        if len(chosen) >= batch_max:
            break
        longest, filled = max(longest, lengths[at]), filled + lengths[at]
        units = longest * (len(chosen) + 1)
        if units > most or filled < units / 2:
            break
        chosen.append(at)
    return sorted(chosen)


class Busy(Exception):
    """The queue is full. `retry_after_s` is when some of it will have been worked off."""

    def __init__(self, waiting: int, retry_after_s: float) -> None:
        super().__init__(f"{waiting} requests are waiting already")
        self.waiting, self.retry_after_s = waiting, retry_after_s


class _Job:
    """One request's items, and the future that its results go to."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.results: list[Any] = [None] * len(items)
        self.missing = len(items)
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def put(self, at: int, result: Any) -> None:
        self.results[at] = result
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(self.results)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class _Entry(msgspec.Struct):
    job: _Job
    at: int
    item: Any
    length: float
    arrived_s: float


class Batcher:
    """A bounded queue before a function of batches, which is asked for one batch at a time."""

    def __init__(
        self,
        run: Callable[[list[Any]], Awaitable[list[Any]]],
        limits: Limits,
        length_of: Callable[[Any], float] = lambda item: 1.0,
        measured: Callable[[int, float], None] = lambda size, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run` gives one result for each item of a batch. `measured` is told each batch's size and seconds."""
        self.pace = Pace()
        self._run, self._limits, self._length_of, self._measured = run, limits, length_of, measured
        self._clock = clock
        self._queue: list[_Entry] = []
        self._arrived = asyncio.Event()
        self._running, self._company = False, 0.0
        self._worker = asyncio.get_running_loop().create_task(self._work())

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def submit(self, items: Sequence[Any]) -> list[Any]:
        """A result for each item. Raises Busy, and what the function raised on these items. Cancelling withdraws."""
        if not items:
            return []
        if self.waiting and self.waiting + len(items) > self._limits.queue_max:
            raise Busy(self.waiting, self._time_to_half_s())
        now_s, job = self._clock(), _Job(items)
        self._company += 0.1 * ((self._running or self.waiting > 0) - self._company)
        self._queue += [_Entry(job, at, item, self._length_of(item), now_s) for at, item in enumerate(items)]
        self._arrived.set()
        try:
            return await job.done
        finally:
            if job.missing:  # withdrawn, or failed in part
                self._queue = [entry for entry in self._queue if entry.job is not job]

    async def close(self) -> None:
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)

    def _time_to_half_s(self) -> float:
        batches = math.ceil(self.waiting / 2 / self._limits.batch_max)
        longest = max(entry.length for entry in self._queue)
        return batches * self.pace.seconds(self._limits.batch_max * longest)

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            await self._wait_for_more()
            if self._queue:
                self._running = True
                await self._run_batch(self._next_batch())
                self._running = False

    async def _wait_for_more(self) -> None:
        """Until the batch is full or its oldest item has waited `wait_s`; not at all where requests seldom meet."""
        deadline_s = self._queue[0].arrived_s + self._limits.wait_s
        while self._queue and len(self._queue) < self._limits.batch_max:
            left_s = deadline_s - self._clock()
            if left_s <= 0 or self._company < COMPANY:
                return
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left_s)
            except TimeoutError:
                return

    def _next_batch(self) -> list[_Entry]:
        window = self._queue[: WINDOW * self._limits.batch_max]
        most = units_max(self.pace, self._limits)
        chosen = choose([entry.length for entry in window], most, self._limits.batch_max)
        taken = set(chosen)
        rest = [entry for at, entry in enumerate(window) if at not in taken]
        self._queue[: len(window)] = rest
        return [window[at] for at in chosen]

    async def _run_batch(self, batch: list[_Entry]) -> None:
        """Where a batch of several requests fails, each is tried alone, so that one fails no other."""
        started_s = self._clock()
        try:
            results = await self._run([entry.item for entry in batch])
            if len(results) != len(batch):
                raise WrongCount(len(batch), len(results))
        except Exception as error:  # noqa: BLE001 - whatever the model raises belongs to whoever asked
            jobs = {id(entry.job): entry.job for entry in batch}
            if len(jobs) == 1:
                batch[0].job.fail(error)
                return
            for job in jobs.values():
                await self._run_batch([entry for entry in batch if entry.job is job])
            return
        seconds = self._clock() - started_s
        units = max(entry.length for entry in batch) * len(batch)
        self.pace = self.pace.observed(units, seconds)
        self._measured(len(batch), seconds)
        for entry, result in zip(batch, results, strict=True):
            entry.job.put(entry.at, result)


class WrongCount(Exception):
    """A model gave more or fewer results than it was given inputs."""

    def __init__(self, inputs: int, results: int) -> None:
        super().__init__(f"the model gave {results} results for {inputs} inputs; it must give one for each")
