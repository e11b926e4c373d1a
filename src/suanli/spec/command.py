"""`run`: the words of a command. There is no shell, so what only a shell understands is refused, not passed on."""

import json
import re
import shlex
from typing import cast

from suanli.spec.problems import Refusal, shown

_LITERAL = re.compile(r"""'[^']*'|\\.|"((?:\\.|[^"\\])*)\"""", re.DOTALL)
"""What a shell takes as it stands; the group is the inside of double quotes, where `$` and backticks still work."""

_SHELL_ONLY = re.compile(r"\n|&&?|\|\|?|;|>>?|<<?|[()]|`|\$[({A-Za-z_]")
_SHELL_ONLY_IN_QUOTES = re.compile(r"`|\$[({A-Za-z_]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_EXPECTED = 'expected a command such as "python train.py" or [python, train.py]'


def argv(value: object) -> tuple[str, ...]:
    """The words of a list as they are, or of a text as a shell splits it. Raises ValueError."""
    words = _split(value) if isinstance(value, str) else _listed(value)
    if not words or not words[0]:
        raise ValueError(f"{_EXPECTED}; got {shown(value)}")
    if any("\0" in word for word in words):
        raise ValueError("expected words without NUL characters")
    return words


def _listed(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{_EXPECTED}; got {shown(value)}")
    words = cast("list[object]", value)
    for index, word in enumerate(words):
        if not isinstance(word, str):
            raise ValueError(f"expected words; word {index + 1} is {shown(word)}")
    return tuple(str(word) for word in words)


def _split(text: str) -> tuple[str, ...]:
    command = text.strip().replace("\\\n", " ")
    if operator := _first_shell_operator(command):
        sign = "a second line" if operator == "\n" else f"`{operator}`"
        raise Refusal(
            f"the command runs without a shell, which {sign} needs; got {shown(text)}",
            f"Write [bash, -c, {json.dumps(text.strip(), ensure_ascii=False)}], or quote it if it is meant literally.",
        )
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise Refusal(
            f"the command cannot be split into words: {error}", "Close the quote, or write a list."
        ) from None
    if words and _ASSIGNMENT.match(words[0]):
        raise Refusal(
            f"the command begins with the assignment {shown(words[0])}, which needs a shell",
            "Put the variable under `env`.",
        )
    return words


def _first_shell_operator(command: str) -> str:
    inside = "\n".join(quoted[1] for quoted in _LITERAL.finditer(command) if quoted[1])
    found = _SHELL_ONLY.search(_LITERAL.sub("''", command)) or _SHELL_ONLY_IN_QUOTES.search(inside)
    return found[0] if found else ""
