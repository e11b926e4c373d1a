"""What a runtime makes of a model's folder: the abilities that the endpoints offer."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from suanli.serving.runtime.generation import Generator

Result = TypeVar("Result")


class Scored(msgspec.Struct, frozen=True):
    """How likely a text is to the model: the natural logarithm, and of how many tokens and bytes it is."""

    log_likelihood: float
    tokens: int
    bytes: int


class Embedded(msgspec.Struct, frozen=True):
    """A text's vector, and how many of its tokens were read."""

    vector: list[float]
    tokens: int


async def nothing() -> None:
    """Where there is nothing to do."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """None: the model doesn't do that. `embed` gives an Embedded for each text, `infer` an output for each input,
    `score` a Scored for each text; all get whole batches, one at a time. `tokens` counts those of a text.
    """

    generator: Generator | None = None
    embed: Callable[[list[str]], Awaitable[list[Embedded]]] | None = None
    infer: Callable[[list[Any]], Awaitable[list[Any]]] | None = None
    score: Callable[[list[str]], Awaitable[list[Scored]]] | None = None
    tokens: Callable[[str], int] | None = None
    warm_up: Callable[[], Awaitable[None]] = nothing
    close: Callable[[], Awaitable[None]] = nothing
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """Shown by `/v1/models`: task, context and the like."""

    @property
    def paths(self) -> list[str]:
        """The endpoints that answer."""
        generation = ["/v1/chat/completions", "/v1/completions"] if self.generator else []
        work = {"/v1/embeddings": self.embed, "/predict": self.infer, "/score": self.score}
        return generation + [path for path, ability in work.items() if ability]


class Compute:
    """The one thread that works on the model, so that the event loop stays free to answer."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")

    async def run(self, work: Callable[..., Result], *given: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)
