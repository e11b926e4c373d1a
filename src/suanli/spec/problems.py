"""What is wrong with a declaration, said so that its author can put it right at once."""

import difflib
import itertools
import reprlib
from collections.abc import Iterable, Sequence

import msgspec

from suanli.domain.errors import SpecError

PROBLEMS_MAX = 500
CANDIDATES_MAX = 300


class Mark(msgspec.Struct, frozen=True):
    """A place in a source, counted from 1 as editors do. Line 0: the source has no lines (`--set …`)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake, or one warning. `document` is `kind name` where known, `field` a path such as `data[0].size`."""

    file: str
    line: int
    column: int
    document: str = ""
    field: str = ""
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = str(Mark(self.file, self.line, self.column))
        said = ": ".join(part for part in (place, self.document, self.field, self.message) if part)
        return f"{said}\n    {self.remedy}" if self.remedy else said


class Findings(msgspec.Struct, frozen=True):
    """All that was found so far. Bounded, so that no text can make reading it long."""

    files: tuple[str, ...]
    problems: list[Problem] = msgspec.field(default_factory=list[Problem])
    warnings: list[Problem] = msgspec.field(default_factory=list[Problem])

    def refuse(self, problem: Problem) -> None:
        """Take a mistake in. Raises SpecErrors where there are too many already."""
        self.problems.append(problem)
        if len(self.problems) >= PROBLEMS_MAX:
            raise self.errors()

    def warn(self, problem: Problem) -> None:
        if len(self.warnings) < PROBLEMS_MAX and problem not in self.warnings:
            self.warnings.append(problem)

    def errors(self) -> "SpecErrors":
        order = {file: index for index, file in enumerate(self.files)}
        return SpecErrors(sorted(self.problems, key=lambda p: (order.get(p.file, -1), p.line, p.column)))


class SpecErrors(SpecError):
    """The declarations are wrong; `problems` holds every mistake of every source, in their order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            _sentence(self.problems),
            remedy=self.problems[0].remedy if len(self.problems) == 1 else "Correct them and try again.",
            evidence={"problems": [msgspec.to_builtins(problem) for problem in self.problems]},
        )

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def _sentence(problems: Sequence[Problem]) -> str:
    if len(problems) == 1:
        return str(problems[0]).splitlines()[0]
    files = ", ".join(dict.fromkeys(problem.file for problem in problems))
    if len(problems) >= PROBLEMS_MAX:
        return f"There are more than {PROBLEMS_MAX} mistakes in {files}; these are the first."
    return f"There are {len(problems)} mistakes in {files}."


class Refusal(ValueError):
    """A value that cannot be read, with a remedy of its own. Raised by the types of fields."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def shown(value: object) -> str:
    """What was found, short enough for a message."""
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return reprlib.repr(value)


def nearest(word: str, words: Iterable[str]) -> str:
    """The one of `words` that was probably meant, or nothing."""
    candidates = {_folded(candidate): candidate for candidate in itertools.islice(words, CANDIDATES_MAX)}
    close = difflib.get_close_matches(_folded(word[:80]), candidates, n=1, cutoff=0.6)
    return candidates[close[0]] if close else ""


def _folded(word: str) -> str:
    return word.replace("-", "_").casefold()
