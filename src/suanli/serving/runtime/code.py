"""User code as a model: `--code module:Class`, any framework. What such a class may have:

    class Reverser:
        def load(self, model_dir: Path) -> None: ...                         # needed; called once, before anything else
        def infer(self, inputs: list[Any]) -> list[Any]: ...                 # /predict, in batches
        def embed(self, texts: list[str]) -> list[list[float]]: ...          # /v1/embeddings, in batches
        def generate(self, prompt: str, params: Generation) -> Iterator[str]: ...   # /v1/completions and chat, streamed
        def tokens(self, text: str) -> int: ...                              # counted in the answers' usage
        def stop(self) -> None: ...                                          # called once, after the last request

Each may be `async` (generate an async generator) and then runs on the event loop, where it must not block. Otherwise
load, infer and embed share one thread, and each running generate has its own. A ValueError is answered with 400 and its
text, anything else with 500. Without `tokens`, a token is counted for every four bytes of a prompt and for every piece
of an answer.
"""

import asyncio
import importlib
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from suanli.domain.errors import SpecError
from suanli.serving.runtime.batching import Busy
from suanli.serving.runtime.generation import Finish, Generation, Message, Piece, Prompt, StopText, plain_chat
from suanli.serving.runtime.loaded import Compute, Embedded, Loaded, nothing
from suanli.serving.runtime.options import Options

ABILITIES = ("infer", "embed", "generate")


class Model(Protocol):
    """The one method that every class needs; `model_dir` holds the model's files."""

    def load(self, model_dir: Path) -> Any: ...


async def load(options: Options, compute: Compute) -> Loaded:
    """Make the class's object and load it. Raises SpecError for code that can't be served."""
    model = await compute.run(made, options.code)
    await _called(compute, model.load, options.model_dir)
    count: Callable[[str], int] | None = getattr(model, "tokens", None)
    embed, infer, stop = (getattr(model, name, None) for name in ("embed", "infer", "stop"))

    async def embedded(texts: list[str]) -> list[Embedded]:
        vectors = await _called(compute, embed, texts)
        numbers = [[float(number) for number in vector] for vector in vectors]
        return [Embedded(*both) for both in zip(numbers, map(count or estimated_tokens, texts), strict=False)]

    async def inferred(inputs: list[Any]) -> list[Any]:
        return list(await _called(compute, infer, inputs))

    async def stopped() -> None:
        await _called(compute, stop)

    return Loaded(
        generator=CodeGenerator(model, options) if hasattr(model, "generate") else None,
        embed=embedded if embed else None,
        infer=inferred if infer else None,
        tokens=count or estimated_tokens,
        close=stopped if stop else nothing,
        facts={"runtime": "python", "code": options.code},
    )


def made(code: str) -> Any:
    """The object of `module:Class`, found from the working directory. Raises SpecError."""
    module_name, _, class_name = code.partition(":")
    if not class_name:
        raise SpecError(f"--code must be module:Class, such as my_model:Model; it is {code!r}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        remedy = "set workdir to the folder it is in, or install what it imports"
        raise SpecError(f"{module_name} cannot be imported: {error}", remedy=remedy) from error
    kind = getattr(module, class_name, None)
    if kind is None:
        raise SpecError(f"{module_name} has no {class_name}", remedy="name a class of that module in --code")
    model = kind()
    if not hasattr(model, "load"):
        raise SpecError(f"{class_name} has no load", remedy="give it load(self, model_dir: Path)")
    if not any(hasattr(model, ability) for ability in ABILITIES):
        raise SpecError(f"{class_name} answers nothing", remedy="give it infer, embed or generate")
    return model


async def _called(compute: Compute, method: Any, *given: Any) -> Any:
    if inspect.iscoroutinefunction(method):
        return await method(*given)
    return await compute.run(method, *given)


def estimated_tokens(text: str) -> int:
    """One for every four bytes, which English text in common vocabularies comes near to."""
    return -(-len(text.encode()) // 4)


class CodeGenerator:
    """Text from user code; at most `concurrency_max` at once, `queue_max` wait."""

    context: int | None = None

    def __init__(self, model: Any, options: Options) -> None:
        self._generate = model.generate
        self._count: Callable[[str], int] | None = getattr(model, "tokens", None)
        self._seats = asyncio.Semaphore(options.concurrency_max)
        self._threads = ThreadPoolExecutor(options.concurrency_max, thread_name_prefix="generate")
        self._waiting, self._queue_max = 0, options.queue_max

    def prompt(self, text: str) -> Prompt:
        return Prompt(text=text, tokens=(self._count or estimated_tokens)(text))

    def chat(self, messages: list[Message]) -> Prompt:
        return self.prompt(plain_chat(messages))

    async def generate(self, prompt: Prompt, params: Generation) -> AsyncGenerator[Piece]:
        await self._take_seat()
        try:
            texts = self._texts(prompt.text, params)
            try:
                async for piece in _cut(texts, params, self._count or (lambda text: 1)):
                    yield piece
            finally:
                await texts.aclose()
        finally:
            self._seats.release()

    async def _take_seat(self) -> None:
        if self._waiting >= self._queue_max:
            raise Busy(self._waiting, 1.0)
        self._waiting += 1
        try:
            await self._seats.acquire()
        finally:
            self._waiting -= 1

    async def _texts(self, prompt: str, params: Generation) -> AsyncGenerator[str]:
        made = self._generate(prompt, params)
        if hasattr(made, "__aiter__"):
            async for text in made:
                yield text
            return
        iterator: Iterator[str] = iter(made)
        loop = asyncio.get_running_loop()
        step: asyncio.Future[Any] | None = None
        try:
            while True:
                step = loop.run_in_executor(self._threads, next, iterator, None)
                text = await asyncio.shield(step)
                if text is None:
                    return
                yield text
        finally:
            if (
                step is not None and not step.done()
            ):  # given up in the midst of a piece: only then can it be closed
                await asyncio.wait({step})
            if close := getattr(iterator, "close", None):
                await loop.run_in_executor(self._threads, close)


async def _cut(
    texts: AsyncIterator[str], params: Generation, count: Callable[[str], int]
) -> AsyncIterator[Piece]:
    """The texts up to a stop text or the most tokens, the last piece with why."""
    stop, made = StopText(params.stop), 0
    finish: Finish = "stop"
    async for text in texts:
        tokens = count(text) if text else 0
        made += tokens
        shown = stop.pass_on(text)
        if not stop.ended and made >= params.max_tokens:
            finish = "length"
        if stop.ended or finish == "length":
            yield Piece(shown + stop.rest(), tokens, finish)
            return
        yield Piece(shown, tokens)
    yield Piece(stop.rest(), 0, finish)
