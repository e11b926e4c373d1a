"""How many tokens an answer used, read off it as it passes through.

A JSON answer says so in `usage`. A stream says so in the last chunk that has `usage`, or in the comment that our
replicas send before the end (`: usage {...}`); of one that doesn't, or that broke off, the chunks are counted.
"""

import re

import msgspec

from suanli.serving.gateway.openai import BYTES_PER_TOKEN

KEPT_BYTES = 64 * 2**10
TAIL_BYTES = 8 * 2**10

_NUMBERS = re.compile(rb'"(prompt_tokens|completion_tokens)"\s*:\s*(\d{1,10})')


class Usage(msgspec.Struct, frozen=True):
    """As OpenAI writes it; embeddings have no completion."""

    prompt_tokens: int = 0
    completion_tokens: int | None = None


class _Answer(msgspec.Struct):
    usage: Usage | None = None


_answer = msgspec.json.Decoder(_Answer)
_usage = msgspec.json.Decoder(Usage)


class JsonUsage:
    """Of an answer in one piece. Keeps no more than 128 KiB of it: `usage` stands at the end of long ones."""

    __slots__ = ("_kept", "_kept_bytes", "answer_bytes", "generates")

    def __init__(self, generates: bool) -> None:
        self.generates = generates
        self.answer_bytes = 0
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def feed(self, piece: bytes) -> None:
        self.answer_bytes += len(piece)
        self._kept.append(piece)
        self._kept_bytes += len(piece)
        if self._kept_bytes > 2 * KEPT_BYTES:
            self._kept = [b"".join(self._kept)[-KEPT_BYTES:]]
            self._kept_bytes = KEPT_BYTES

    def read(self, prompt_estimate: int) -> tuple[int, int]:
        """Tokens in and out; estimated by length where the answer doesn't say."""
        usage = self._told(b"".join(self._kept))
        if usage:
            return usage.prompt_tokens, usage.completion_tokens or 0
        return prompt_estimate, self.answer_bytes // BYTES_PER_TOKEN if self.generates else 0

    def _told(self, kept: bytes) -> Usage | None:
        if len(kept) < self.answer_bytes:
            return _found(kept)
        try:
            return _answer.decode(kept).usage
        except (msgspec.DecodeError, UnicodeDecodeError):  # broken off, or not what we know
            return None


class StreamUsage:
    """Of server-sent events, whatever pieces they come in."""

    __slots__ = ("_before", "_tail", "chunks")

    def __init__(self) -> None:
        self.chunks = 0
        self._before = b"\n"
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        seen = self._before + piece
        self.chunks += seen.count(b"\ndata:")
        self._before = seen[-5:]
        self._tail = (self._tail + piece)[-TAIL_BYTES:]

    def read(self, prompt_estimate: int) -> tuple[int, int]:
        """Tokens in and out; where the stream doesn't tell, each chunk but the closing mark is a token."""
        for line in reversed(self._tail.split(b"\n")):
            usage = _told_by(line.rstrip(b"\r"))
            if usage:
                return usage.prompt_tokens, usage.completion_tokens or 0
        ended = self._tail.rstrip().endswith(b"[DONE]")
        return prompt_estimate, max(0, self.chunks - ended)


def _told_by(line: bytes) -> Usage | None:
    if b"usage" not in line:
        return None
    try:
        if line.startswith(b": usage "):
            return _usage.decode(line[len(b": usage ") :])
        if line.startswith(b"data:"):
            return _answer.decode(line[len(b"data:") :]).usage
    except (msgspec.DecodeError, UnicodeDecodeError):  # the first line of the tail may be half a line
        return None
    return None


def _found(tail: bytes) -> Usage | None:
    """In the end of a long answer. Inside a text the quotes would have backslashes."""
    at = tail.rfind(b'"usage"')
    if at < 0:
        return None
    numbers = {name: int(digits) for name, digits in _NUMBERS.findall(tail[at:])}
    if b"prompt_tokens" not in numbers:
        return None
    return Usage(numbers[b"prompt_tokens"], numbers.get(b"completion_tokens"))
