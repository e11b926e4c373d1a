"""Answers in OpenAI's shape, whole and as server-sent events."""

import base64
import secrets
import time
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec

from suanli.serving.runtime.generation import Finish, Piece
from suanli.serving.runtime.loaded import Embedded
from suanli.serving.runtime.refusals import Refusal

DONE = b"data: [DONE]\n\n"


class Usage(msgspec.Struct):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int = 0

    def shown(self) -> dict[str, int]:
        return {**msgspec.structs.asdict(self), "total_tokens": self.prompt_tokens + self.completion_tokens}

    def comment(self) -> bytes:
        """A line that clients skip and a gateway meters by."""
        return b": usage " + msgspec.json.encode(self) + b"\n\n"


class Whole(msgspec.Struct, frozen=True):
    """An answer at once."""

    body: bytes
    content_type: bytes = b"application/json"


class Stream(msgspec.Struct, frozen=True):
    """An answer as server-sent events. `close` ends the work on it, also where no event was asked for."""

    events: AsyncGenerator[bytes]
    close: Callable[[], Awaitable[None]]


class Form:
    """The shape of one generation's answers: a chat's, or a completion's."""

    def __init__(self, name: str, chat: bool) -> None:
        self._chat = chat
        self._object = "chat.completion" if chat else "text_completion"
        self._head = {"id": ("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12)}
        self._head |= {"created": int(time.time()), "model": name}

    def whole(self, text: str, finish: Finish | None, usage: Usage) -> Whole:
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        )
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        head = {**self._head, "object": self._object}
        return Whole(msgspec.json.encode({**head, "choices": [choice], "usage": usage.shown()}))

    def chunk(self, piece: Piece, first: bool) -> bytes:
        said: dict[str, Any] = {"text": piece.text}
        if self._chat:
            role = {"role": "assistant"} if first else {}
            said = {"delta": {**role, "content": piece.text}}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": piece.finish}
        return self._event({"choices": [choice]})

    def usage_chunk(self, usage: Usage) -> bytes:
        return self._event({"choices": [], "usage": usage.shown()})

    def _event(self, fields: dict[str, Any]) -> bytes:
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        return event({**self._head, "object": kind, **fields})


def event(fields: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def failed_event(refusal: Refusal) -> bytes:
    """Ends a stream that can't go on: the status is sent already, so the error goes where a chunk would."""
    return event(refusal.shown())


def embeddings(name: str, results: list[Embedded], encoded: bool) -> Whole:
    """`encoded`: as base64 of little-endian float32, which is what OpenAI's own client asks for."""
    data = [
        {"object": "embedding", "index": at, "embedding": _base64(one.vector) if encoded else one.vector}
        for at, one in enumerate(results)
    ]
    usage = Usage(sum(one.tokens for one in results)).shown()
    return Whole(msgspec.json.encode({"object": "list", "data": data, "model": name, "usage": usage}))


def _base64(vector: list[float]) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()


def models(name: str, facts: dict[str, Any]) -> Whole:
    model = {"id": name, "object": "model", "created": 0, "owned_by": "suanli", **facts}
    return Whole(msgspec.json.encode({"object": "list", "data": [model]}))


def predicted(outputs: list[Any], usage: Usage) -> Whole:
    """Raises TypeError for outputs that JSON has no form for."""
    return Whole(msgspec.json.encode({"outputs": outputs, "usage": usage.shown()}))
