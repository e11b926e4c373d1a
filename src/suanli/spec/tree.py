"""YAML and JSON text into trees that remember where each value stands.

Scalars stay text, because only a field knows what it expects: so `on:` and `no` are words, `3.10` keeps its zero, and
`08` is no octal. Anchors, tags and repeated keys are refused, and everything is bounded, since a text may come from
anyone.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from suanli.spec.problems import Findings, Mark, Problem

FILE_CHARS_MAX = 16 * 2**20
DOCUMENT_CHARS_MAX = 2**20
TEXT_CHARS_MAX = 64 * 2**10
VALUES_MAX = 200_000
DEPTH_MAX = 32
TOO_DEEP = f"values are nested deeper than {DEPTH_MAX} levels"

Plain = str | list["Plain"] | dict[str, "Plain"] | None


class Source(msgspec.Struct, frozen=True):
    """A text to read, by the name its mistakes are told with. `folder`, absolute: where a relative `workdir` starts."""

    name: str
    text: str
    folder: str = ""


class Node(msgspec.Struct):
    """A value and its place; `keys` are the places of a mapping's keys."""

    mark: Mark
    value: "str | list[Node] | dict[str, Node] | None"
    keys: dict[str, Mark] = msgspec.field(default_factory=dict[str, Mark])

    def plain(self) -> Plain:
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value


def parse(source: Source, findings: Findings) -> list[Node]:
    """The documents of a source, a top-level list (JSON has no other way) being as many.

    After a syntax error come no further documents, but those before it. O(characters).
    """
    composer = _Composer(source.name, findings)
    try:
        if len(source.text) > FILE_CHARS_MAX:
            raise _Unreadable(
                Mark(source.name, 1, 1), f"the file is longer than {FILE_CHARS_MAX:,} characters"
            )
        composer.compose(_with_whole_characters(source.text))
    except _Unreadable as error:
        composer.refuse(error.mark, error.message, error.remedy)
    except yaml.YAMLError as error:
        findings.refuse(_syntax_error(source, error))
    except UnicodeEncodeError as error:
        mark = _mark_at(source, error.start)
        composer.refuse(mark, "the text is not valid Unicode", "Save the file as UTF-8.")
    return composer.documents


class _Unreadable(Exception):
    """Nothing after this place can be read."""

    def __init__(self, mark: Mark, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.mark, self.message, self.remedy = mark, message, remedy


class _Composer:
    """Builds the trees from libyaml's events, one pass."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self.documents: list[Node] = []
        self._events: Iterator[Any] = iter(())
        self._values = 0
        self._began = 0

    def compose(self, text: str) -> None:
        # PyYAML has no types; its events are known by their classes' names.
        self._events = iter(yaml.parse(text, Loader=yaml.CSafeLoader))  # pyright: ignore
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._values, self._began = 0, event.start_mark.index
                root = self._node(next(self._events), 1)
                parts = root.value if isinstance(root.value, list) else [root]
                self.documents += [part for part in parts if part.value is not None]

    def refuse(self, mark: Mark, message: str, remedy: str = "") -> None:
        self.findings.refuse(
            Problem(file=mark.file, line=mark.line, column=mark.column, message=message, remedy=remedy)
        )

    def _node(self, event: Any, depth: int) -> Node:
        mark = self._mark(event)
        self._bound(event, mark, depth)
        if isinstance(event, yaml.AliasEvent):
            self.refuse(mark, f"aliases such as *{event.anchor} are not read", "Write the value out.")
            return Node(mark, None)
        if event.tag is not None and not (event.tag == "!" and isinstance(event, yaml.ScalarEvent)):
            self.refuse(mark, f"tags such as {event.tag[:40]} are not read", "Remove the tag.")
        if isinstance(event, yaml.ScalarEvent):
            return Node(mark, self._scalar(event, mark))
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(mark, [self._node(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)])
        return self._mapping(mark, depth)

    def _mapping(self, mark: Mark, depth: int) -> Node:
        fields: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key.value, str):
                self.refuse(key.mark, "a key must be a word", "Remove the brackets, or quote it.")
            elif key.value in fields:
                first = keys[key.value].line
                self.refuse(
                    key.mark, f"`{key.value[:60]}` is given twice, first on line {first}", "Remove one."
                )
            else:
                fields[key.value], keys[key.value] = value, key.mark
        return Node(mark, fields, keys)

    def _until(self, end: type) -> Iterator[Any]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _scalar(self, event: Any, mark: Mark) -> str | None:
        if len(event.value) > TEXT_CHARS_MAX:
            self.refuse(mark, f"the text is longer than {TEXT_CHARS_MAX:,} characters")
            return None
        if event.style in (None, "") and event.value in ("", "~", "null", "Null", "NULL"):
            return None
        return event.value

    def _bound(self, event: Any, mark: Mark, depth: int) -> None:
        self._values += 1
        if depth > DEPTH_MAX:
            raise _Unreadable(mark, TOO_DEEP)
        if self._values > VALUES_MAX:
            raise _Unreadable(mark, f"a document has more than {VALUES_MAX:,} values", "Split it.")
        if event.end_mark.index - self._began > DOCUMENT_CHARS_MAX:
            raise _Unreadable(
                mark, f"a document is longer than {DOCUMENT_CHARS_MAX:,} characters", "Split it."
            )

    def _mark(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax_error(source: Source, error: yaml.YAMLError) -> Problem:
    place: Any = getattr(error, "problem_mark", None)
    opened: Any = getattr(error, "context_mark", None)
    if place is not None and place.index >= len(source.text.rstrip()):
        place = opened or place  # what is missing at the end is best looked for where it was opened
    if place is not None:
        mark = Mark(source.name, place.line + 1, place.column + 1)
    else:
        mark = _mark_at(source, getattr(error, "position", 0))
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", "it cannot be read"))
    if "maximum nesting depth" in reason:  # libyaml has a limit, too, and looks ahead
        return Problem(file=mark.file, line=mark.line, column=mark.column, message=TOO_DEEP)
    message, remedy = f"this is not YAML: {reason}", _syntax_remedy(source, mark, reason)
    return Problem(file=mark.file, line=mark.line, column=mark.column, message=message, remedy=remedy)


def _syntax_remedy(source: Source, mark: Mark, reason: str) -> str:
    lines = source.text.splitlines()
    line = lines[mark.line - 1] if 0 < mark.line <= len(lines) else ""
    if "\t" in line[: mark.column]:
        return "Indent with spaces: YAML allows no tabs there."
    if "mapping values are not allowed" in reason:
        return "Quote a text that contains `: `, or correct the indentation."
    if "control characters" in reason:
        return "Remove the unprintable character."
    return "Check the indentation, brackets and quotes up to this place."


def _mark_at(source: Source, index: int) -> Mark:
    before = source.text[:index]
    return Mark(source.name, before.count("\n") + 1, index - before.rfind("\n"))


def _with_whole_characters(text: str) -> str:
    """JSON writes a character beyond 16 bits as two escapes, which YAML does not know: write it as itself."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    return re.sub(
        r"\\(?:u(d[89ab]..)\\u(d[c-f]..)|.)", _whole_character, text, flags=re.IGNORECASE | re.DOTALL
    )


def _whole_character(escape: re.Match[str]) -> str:
    try:
        high, low = int(escape[1] or "", 16), int(escape[2] or "", 16)
    except ValueError:
        return escape[0]
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
