"""Tokens into text, one after the other."""

from collections.abc import Callable

TORN = "\ufffd"
"""What decoders write for the first bytes of a character whose rest is in the next token."""
CONTEXT = 8
"""Tokens before the new ones that are decoded along: some decoders drop the space before a text's first word."""


class Detokeniser:
    """Gives the text that each further token adds; nothing while it ends in a torn character. The text of all tokens
    together is what decoding them at once gives. A token costs the same however many came before.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._shown = 0
        """How many of them have been given as text."""

    def add(self, token: int) -> str:
        self._ids.append(token)
        return "" if (text := self._new()).endswith(TORN) else self._give(text)

    def rest(self) -> str:
        """What was held back, torn as it is, once no more tokens come."""
        return self._give(self._new())

    def _new(self) -> str:
        before = self._ids[max(0, self._shown - CONTEXT) : self._shown]
        return self._decode(before + self._ids[self._shown :])[len(self._decode(before)) :]

    def _give(self, text: str) -> str:
        self._shown = len(self._ids)
        del self._ids[: max(0, self._shown - CONTEXT)]
        self._shown = len(self._ids)
        return text
