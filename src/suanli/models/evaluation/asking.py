"""What a model says to each row of a data set: asked some at a time, and kept as far as it came."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import numpy as np

from suanli.domain.errors import UsageError
from suanli.models.evaluation.datasets import CLASSIFICATION, EMBEDDINGS, LANGUAGE, PAIRS
from suanli.models.evaluation.metrics import Floats
from suanli.models.evaluation.replica import Connection, Endpoint

Row = Mapping[str, Any]
Done = SimpleQueue[Future[Any] | None]
"""What was done, in order; None for Ctrl-C. Its `put` is made to be called by a signal's handler."""


@dataclass
class Answers:
    """By position of the row: what was said, and the seconds it took. `elapsed_s` is of all together."""

    said: dict[int, Any] = field(default_factory=dict[int, Any])
    seconds: dict[int, float] = field(default_factory=dict[int, float])
    elapsed_s: float = 0.0
    interrupted: bool = False

    @property
    def positions(self) -> list[int]:
        return sorted(self.said)

    def joined(self, later: "Answers", offset: int) -> "Answers":
        """With those to the rows that begin at `offset`."""
        return Answers(
            self.said | {at + offset: said for at, said in later.said.items()},
            self.seconds | {at + offset: seconds for at, seconds in later.seconds.items()},
            self.elapsed_s + later.elapsed_s,
            self.interrupted or later.interrupted,
        )


def asked(
    endpoint: Endpoint,
    kind: str,
    rows: Sequence[Row],
    *,
    concurrency: int,
    told: Callable[[int], None] = lambda count: None,
) -> Answers:
    """Answers to all rows; after Ctrl-C to those that had come, marked so. `told` hears how many there are.

    A label (text) for CLASSIFICATION; (log-likelihood, tokens, bytes) for LANGUAGE; a vector for EMBEDDINGS; two for
    PAIRS. Raises what `Connection.ask` does, and UsageError for an answer that a task can do nothing with.
    For the main thread, which alone hears Ctrl-C.
    """
    answers, ask = Answers(), _ASK[kind]
    started_s = time.perf_counter()
    connections, done = _Connections(endpoint), Done()

    def one(at: int) -> tuple[int, Any, float]:
        begun_s = time.perf_counter()
        said = ask(connections.mine(), rows[at])
        return at, said, time.perf_counter() - begun_s

    with closing(connections), ThreadPoolExecutor(concurrency, thread_name_prefix="asking") as threads:
        try:
            with _interrupted(lambda: done.put(None)):
                for at, said, seconds in _by_and_by(threads, one, range(len(rows)), 2 * concurrency, done):
                    answers.said[at], answers.seconds[at] = said, seconds
                    told(len(answers.said))
        except KeyboardInterrupt:
            answers.interrupted = True
        finally:
            answers.elapsed_s = time.perf_counter() - started_s
            threads.shutdown(wait=True, cancel_futures=True)
    return answers


def _by_and_by(
    threads: ThreadPoolExecutor, work: Callable[[int], Any], positions: Sequence[int], most: int, done: Done
) -> Iterator[Any]:
    """Results as they come, at most so many begun or waiting: a long data set costs no long queue.

    Raises KeyboardInterrupt where `done` holds None, and what the work raises.
    """
    left, running = iter(positions), 0
    while True:
        while running < most and (at := next(left, None)) is not None:
            threads.submit(work, at).add_done_callback(done.put)
            running += 1
        if not running:
            return
        future = done.get()
        if future is None:
            raise KeyboardInterrupt
        running -= 1
        yield future.result()


@contextmanager
def _interrupted(heard: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C calls `heard`, where Python would raise: that may be while a lock is being taken which a thread
    then waits for without end."""

    def once(number: int, frame: object) -> None:
        signal.signal(number, usual)
        heard()

    usual = signal.getsignal(signal.SIGINT)  # known before `once` may be called
    signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


class _Connections:
    """One for each thread that asks."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._local = endpoint, threading.local()
        self._all: list[Connection] = []

    def mine(self) -> Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = Connection(self._endpoint)
            self._all.append(self._local.connection)
        return self._local.connection

    def close(self) -> None:
        for connection in self._all:
            connection.close()


def _label(connection: Connection, row: Row) -> str:
    output = _answer(connection.ask("/predict", {"inputs": [row["input"]]}), "outputs")
    if isinstance(output, list) and output:  # by likelihood, as transformers' pipelines answer
        output = output[0]
    if isinstance(output, dict):
        output = output.get("label")
    if not isinstance(output, (str, int)):
        raise UsageError(
            "The model answers with something that is no label.",
            remedy='Let it answer a text, a whole number, or `{"label": …}`, also as a list, the likeliest first.',
            evidence={"answer": str(output)[:200]},
            code="SL-EVALUATE-ANSWER",
        )
    return str(output)


def _score(connection: Connection, row: Row) -> tuple[float, float, float]:
    output = _answer(connection.ask("/score", {"inputs": row["text"]}), "outputs")
    return float(output["log_likelihood"]), float(output["tokens"]), float(output["bytes"])


def _vector(connection: Connection, row: Row) -> Floats:
    return _vectors(connection, [row["text"]])[0]


def _pair(connection: Connection, row: Row) -> Floats:
    return _vectors(connection, [row["a"], row["b"]])


def _vectors(connection: Connection, texts: list[str]) -> Floats:
    answer = connection.ask("/v1/embeddings", {"input": texts, "encoding_format": "float"})
    _answer(answer, "data")
    return np.array([one["embedding"] for one in answer["data"]], np.float64)


def _answer(answer: Any, name: str) -> Any:
    """The first of the answers. Raises UsageError where there is none."""
    values = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(values, list) or not values:
        raise UsageError(
            f"The model's answer has no {name}.",
            evidence={"answer": str(answer)[:200]},
            code="SL-EVALUATE-ANSWER",
        )
    return values[0]


_ASK: Mapping[str, Callable[[Connection, Row], Any]] = {
    CLASSIFICATION: _label,
    LANGUAGE: _score,
    EMBEDDINGS: _vector,
    PAIRS: _pair,
}
