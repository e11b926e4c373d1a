"""Continuous batching: requests join and leave the running batch at each token step (Yu et al. 2022, "Orca").

This is the queue in front of the batch, on asyncio; the batch itself, on torch, is `causal.CausalBatch`. The
`ContinuousBatchingManager` of transformers works on the CPU, too, but draws from one generator for all (no `seed` of a
request), knows no stop texts, and fills a fixed share of the machine's memory with its cache before the first request
(15 s for a model of 0.1 M parameters).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from suanli.serving.runtime.batching import Busy
from suanli.serving.runtime.detokeniser import Detokeniser
from suanli.serving.runtime.generation import Finish, Generation, Piece, Prompt, StopText
from suanli.serving.runtime.loaded import Compute


class Sequence:
    """One request's way through the batch. The compute thread reads `prompt` and `params`; it ends by `over`."""

    def __init__(self, prompt: Prompt, params: Generation, decode: Callable[[list[int]], str]) -> None:
        self.prompt, self.params = prompt, params
        self.pieces: asyncio.Queue[Piece | Exception] = asyncio.Queue()
        self.over = False
        self._made = 0
        self._text, self._stop = Detokeniser(decode), StopText(params.stop)

    def take(self, token: int, ends: frozenset[int]) -> None:
        """The model's next token, on its way to the client as text."""
        self._made += 1
        finish: Finish | None = None
        text = self._stop.pass_on(self._text.add(token) if token not in ends else "")
        if self._stop.ended or token in ends:
            finish = "stop"
        elif self._made >= self.params.max_tokens:
            finish = "length"
        if finish:
            text += self._stop.pass_on(self._text.rest()) + self._stop.rest()
            self.over = True
        self.pieces.put_nowait(Piece(text, 1, finish))

    def fail(self, error: Exception) -> None:
        self.over = True
        self.pieces.put_nowait(error)


class Batch(Protocol):
    """What works in the compute thread. `ends` are the tokens that end a text."""

    ends: frozenset[int]

    def step(self, joining: list[Sequence]) -> list[tuple[Sequence, int]]:
        """Drop those that are over, take in `joining`, and draw a token for each whose prompt has been read."""
        ...

    def clear(self) -> None: ...


class Continuous:
    """A bounded queue before a batch of at most `batch_max` sequences."""

    def __init__(
        self,
        batch: Batch,
        decode: Callable[[list[int]], str],
        compute: Compute,
        *,
        batch_max: int,
        queue_max: int,
        measured: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        """`measured` is told the size of the batch and the seconds of each step."""
        self._batch, self._decode, self._compute, self._measured = batch, decode, compute, measured
        self._batch_max, self._queue_max = batch_max, queue_max
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._wake = asyncio.Event()
        self._worker = asyncio.get_running_loop().create_task(self._work())
        self._step_s = 0.0

    async def generate(self, prompt: Prompt, params: Generation) -> AsyncGenerator[Piece]:
        """Raises Busy where the queue is full."""
        if len(self._waiting) >= self._queue_max:
            raise Busy(len(self._waiting), self._step_s * params.max_tokens)
        sequence = Sequence(prompt, params, self._decode)
        self._waiting.append(sequence)
        self._wake.set()
        try:
            while True:
                piece = await sequence.pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if piece.finish:
                    return
        finally:
            sequence.over = True  # where the client has left, this frees its place at the next step

    async def close(self) -> None:
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            joining = self._admitted()
            if not joining and not self._running:
                self._wake.clear()
                if not self._waiting:
                    await self._wake.wait()
                continue
            self._running += joining
            started_s, size = time.perf_counter(), len(self._running)
            try:
                drawn = await self._compute.run(self._batch.step, joining)
            except Exception as error:  # noqa: BLE001 - who asked is told; the batch begins anew
                await self._start_anew(error)
                continue
            for sequence, token in drawn:
                if not sequence.over:
                    sequence.take(token, self._batch.ends)
            self._step_s = time.perf_counter() - started_s
            self._measured(size, self._step_s)

    def _admitted(self) -> list[Sequence]:
        """Those that join now: the longest waiting, as many as there are places."""
        self._running = [sequence for sequence in self._running if not sequence.over]
        joining = list[Sequence]()
        while self._waiting and len(self._running) + len(joining) < self._batch_max:
            sequence = self._waiting.popleft()
            if not sequence.over:
                joining.append(sequence)
        return joining

    async def _start_anew(self, error: Exception) -> None:
        for sequence in self._running:
            sequence.fail(error)
        self._running = []
        await self._compute.run(self._batch.clear)
