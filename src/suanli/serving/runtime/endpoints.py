"""What each path answers, once a model is loaded."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

from suanli.serving.runtime import answers, wire
from suanli.serving.runtime.answers import Form, Stream, Usage, Whole
from suanli.serving.runtime.batching import Batcher, Busy, Limits, WrongCount
from suanli.serving.runtime.generation import Generation, Generator, Piece, Prompt
from suanli.serving.runtime.loaded import Loaded
from suanli.serving.runtime.metrics import Metrics
from suanli.serving.runtime.options import Options
from suanli.serving.runtime.refusals import Refusal, bad_field, busy, not_offered, too_long

LONG_BYTES = 32 * 2**10
Result = TypeVar("Result")


class Endpoints:
    """The abilities of a loaded model by path. Every method raises Refusal for what it won't do."""

    def __init__(self, loaded: Loaded, options: Options, metrics: Metrics) -> None:
        self._loaded, self._name, self._metrics = loaded, options.name, metrics
        limits = Limits(
            batch_max=options.batch_max,
            wait_s=options.batch_wait_s,
            latency_max_s=options.latency_max_s,
            queue_max=options.queue_max,
        )
        self._embed = self._infer = self._score = None
        if loaded.embed:
            self._embed = Batcher(
                loaded.embed, limits, _characters, lambda *seen: metrics.batch("embed", *seen)
            )
        if loaded.infer:
            self._infer = Batcher(loaded.infer, limits, measured=lambda *seen: metrics.batch("infer", *seen))
        if loaded.score:
            self._score = Batcher(
                loaded.score, limits, _characters, lambda *seen: metrics.batch("score", *seen)
            )
        self._by_path = {
            "/v1/chat/completions": self.chat,
            "/v1/completions": self.complete,
            "/v1/embeddings": self.embed,
            "/predict": self.predict,
            "/score": self.score,
        }

    @property
    def waiting(self) -> int:
        return sum(batcher.waiting for batcher in (self._embed, self._infer, self._score) if batcher)

    def at(self, path: str) -> Callable[[bytes], Awaitable[Whole | Stream]]:
        """What answers there, from the body that was sent. Raises Refusal where this model doesn't."""
        if path not in self._loaded.paths:
            raise not_offered(path, ", ".join(self._loaded.paths))
        return self._by_path[path]

    def models(self) -> Whole:
        return answers.models(self._name, self._loaded.facts)

    async def close(self) -> None:
        for batcher in (self._embed, self._infer, self._score):
            if batcher:
                await batcher.close()
        await self._loaded.close()

    async def chat(self, body: bytes) -> Whole | Stream:
        generator, asked = self._generator, wire.read(body, wire.Chat)
        with _told("messages"):
            prompt = await _aside(body, generator.chat, asked.said())
        left = generator.context - prompt.tokens if generator.context else wire.CHAT_TOKENS
        return await self._generate(generator, prompt, asked.generation(max(1, left)), asked, chat=True)

    async def complete(self, body: bytes) -> Whole | Stream:
        generator, asked = self._generator, wire.read(body, wire.Completion)
        prompt = await _aside(body, generator.prompt, asked.text())
        params = asked.generation(wire.COMPLETION_TOKENS)
        return await self._generate(generator, prompt, params, asked, chat=False)

    @property
    def _generator(self) -> Generator:
        assert self._loaded.generator, "at() was asked"
        return self._loaded.generator

    async def _generate(
        self,
        generator: Generator,
        prompt: Prompt,
        params: Generation,
        asked: wire.Completion | wire.Chat,
        chat: bool,
    ) -> Whole | Stream:
        if generator.context and prompt.tokens + params.max_tokens > generator.context:
            raise too_long(prompt.tokens, params.max_tokens, generator.context)
        if not prompt.tokens:
            raise bad_field("prompt", "the prompt is empty; give at least one token to continue")
        form = Form(self._name, chat)
        pieces, usage = self._counted(generator.generate(prompt, params), prompt), Usage(prompt.tokens)
        if asked.stream:
            with _told("prompt"):  # a refusal before the first piece has a status of its own
                first = await anext(pieces)
            return Stream(_events(form, first, pieces, usage, asked.with_usage), pieces.aclose)
        text, finish = "", None
        async with aclosing(pieces):
            with _told("prompt"):
                async for piece in pieces:
                    text, finish = text + piece.text, piece.finish
                    usage.completion_tokens += piece.tokens
        return form.whole(text, finish, usage)

    async def _counted(self, pieces: AsyncGenerator[Piece], prompt: Prompt) -> AsyncGenerator[Piece]:
        """The pieces, seen by the metrics on their way."""
        started_s, first = time.perf_counter(), True
        self._metrics.tokens.labels("prompt").inc(prompt.tokens)
        written = self._metrics.tokens.labels("completion")
        async with aclosing(pieces):
            async for piece in pieces:
                if first:
                    self._metrics.first_token.observe(time.perf_counter() - started_s)
                    first = False
                written.inc(piece.tokens)
                yield piece

    async def embed(self, body: bytes) -> Whole:
        assert self._embed, "at() was asked"
        asked = wire.read(body, wire.Embeddings)
        results = await _batched(self._embed, asked.texts(), "input")
        width = len(results[0].vector)
        if asked.dimensions not in (None, width):
            raise bad_field("dimensions", f"this model's vectors have {width} numbers; leave dimensions out")
        self._metrics.tokens.labels("prompt").inc(sum(one.tokens for one in results))
        return answers.embeddings(self._name, results, encoded=asked.encoding_format == "base64")

    async def predict(self, body: bytes) -> Whole:
        assert self._infer, "at() was asked"
        inputs = wire.read(body, wire.Predict).inputs
        several = inputs if isinstance(inputs, list) else [inputs]
        if not several or len(several) > wire.TEXTS_MAX:
            raise bad_field(
                "inputs", f"inputs must have 1 to {wire.TEXTS_MAX} entries, it has {len(several)}"
            )
        outputs = await _batched(self._infer, several, "inputs")
        tokens = await _aside(body, self._tokens, several)
        self._metrics.tokens.labels("prompt").inc(tokens)
        return answers.predicted(outputs, Usage(tokens))

    async def score(self, body: bytes) -> Whole:
        assert self._score, "at() was asked"
        results = await _batched(self._score, wire.read(body, wire.Score).texts(), "inputs")
        tokens = sum(one.tokens for one in results)
        self._metrics.tokens.labels("prompt").inc(tokens)
        return answers.predicted(results, Usage(tokens))

    def _tokens(self, inputs: list[Any]) -> int:
        count = self._loaded.tokens
        return sum(count(one) for one in inputs if isinstance(one, str)) if count else 0


def _characters(text: str) -> float:
    """Near enough to its tokens to find texts of like length, and free; never 0."""
    return 8.0 + len(text)


async def _aside(body: bytes, work: Callable[..., Result], *given: Any) -> Result:
    """Tokenizing a long request takes a while, in which others want answers."""
    return await asyncio.to_thread(work, *given) if len(body) > LONG_BYTES else work(*given)


async def _batched(batcher: Batcher, items: list[Any], param: str) -> list[Any]:
    with _told(param):
        return await batcher.submit(items)


@contextmanager
def _told(param: str) -> Iterator[None]:
    """What a model refuses, in words that the client understands. `param` is the field that it is about."""
    try:
        yield
    except Busy as error:
        raise busy(error) from error
    except WrongCount as error:
        raise Refusal(500, str(error), code="model_failed") from error
    except ValueError as error:
        raise bad_field(param, str(error)) from error


async def _events(
    form: Form, first: Piece, pieces: AsyncIterator[Piece], usage: Usage, with_usage: bool
) -> AsyncGenerator[bytes]:
    """Chunks, then usage: as a chunk where that was asked for, as a comment always, and the end."""
    usage.completion_tokens += first.tokens
    yield form.chunk(first, first=True)
    async for piece in pieces:
        usage.completion_tokens += piece.tokens
        if piece.text or piece.finish:
            yield form.chunk(piece, first=False)
    if with_usage:
        yield form.usage_chunk(usage)
    yield usage.comment()
    yield answers.DONE
