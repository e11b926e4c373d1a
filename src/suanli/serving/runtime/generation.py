"""What a generation is asked for, what it gives piece by piece, and where its text ends."""

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

import msgspec

Finish = Literal["stop", "length"]


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """How to continue a prompt. Temperature 0 takes the likeliest token each time; otherwise tokens are drawn from the
    fewest whose chances add up to `top_p`, and the same `seed` draws the same ones.

    The text ends before the first of `stop`, which the runtime sees to, or after `max_tokens`.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What is continued: as text, and as token ids where the runtime knows them. `tokens` is their count."""

    text: str
    tokens: int
    ids: tuple[int, ...] = ()


class Piece(msgspec.Struct, frozen=True):
    """Text that may be shown, the tokens drawn since the piece before, and with the last one why it ended."""

    text: str
    tokens: int
    finish: Finish | None = None


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str


class Generator(Protocol):
    """A model that continues text. `context` is the most tokens of prompt and answer together, None unknown."""

    context: int | None

    def prompt(self, text: str) -> Prompt:
        """What `/v1/completions` continues."""
        ...

    def chat(self, messages: list[Message]) -> Prompt:
        """What `/v1/chat/completions` continues. Raises ValueError for messages that the model's template refuses."""
        ...

    def generate(self, prompt: Prompt, params: Generation) -> AsyncGenerator[Piece]:
        """The answer, at least one piece. Closing it ends the work. Raises Busy, or ValueError for what it can't do."""
        ...


class StopText:
    """Passes text on up to the stop text that is complete first, holding back an ending that may turn out to begin one.

    However the text is cut into pieces, what is passed on is the same. Each piece costs its length times that of the
    stop texts.
    """

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""
        self.ended = False

    def pass_on(self, text: str) -> str:
        """What may be shown now that `text` was written."""
        if self.ended:
            return ""
        text = self._held + text
        found = [(at + len(stop), at) for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self.ended, self._held = True, ""
            return text[: min(found)[1]]
        kept = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """What was held back, once nothing more comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` begin `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((count for count in range(longest, 0, -1) if stop.startswith(text[-count:])), 0)


def plain_chat(messages: list[Message]) -> str:
    """How a chat is put to a model without a chat template: a line `role: text` for each message, and `assistant:`."""
    return "".join(f"{message.role}: {message.content}\n" for message in messages) + "assistant:"
