"""Paths of a version's files: relative, plain, and inside the folder that they are put into, whatever they say."""

import itertools
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from suanli.domain.errors import UsageError

PATH_BYTES_MAX = 512
PART_BYTES_MAX = 200
DEPTH_MAX = 16
FILES_MAX = 2000
SPECIAL = '\\:%#?;*<>|"'
"""What some program that such a name passes through takes for the end of it, an escape, or a pattern."""

_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{kind}{i}" for kind in ("com", "lpt") for i in range(10))}
)


def check_path(path: str) -> str:
    """The path itself, or UsageError with what is wrong with it.

    The rules are of form only, so that a path is right or wrong on every machine alike; `inside` then holds the result
    against a real folder.
    """
    problem = _problem(path)
    if problem:
        raise UsageError(
            f"A model's file may not be called {path[:200]!r}: {problem}.",
            remedy="Use relative paths with `/` between plain names, such as `onnx/model.onnx`.",
            code="SL-MODEL-PATH",
        )
    return path


def check_paths(paths: Iterable[str]) -> None:
    """All of one version: each right, none twice, none a folder of another. O(n log n). Raises UsageError."""
    ordered = sorted((check_path(path) for path in paths), key=lambda path: path.casefold().split("/"))
    if len(ordered) > FILES_MAX:
        raise UsageError(
            f"A version holds at most {FILES_MAX} files.",
            remedy="Leave out what serving does not need (`--exclude PATTERN`).",
            evidence={"files": len(ordered)},
            code="SL-MODEL-FILES",
        )
    for one, other in itertools.pairwise(ordered):
        mine, its = one.casefold(), other.casefold()
        if its == mine or its.startswith(mine + "/"):
            raise UsageError(
                f"The files {one[:200]!r} and {other[:200]!r} cannot lie in one folder everywhere.",
                remedy="Rename one: names differ by more than upper and lower case, and none is a folder too.",
                code="SL-MODEL-PATH",
            )


def inside(folder: Path, path: str) -> Path:
    """Where the file of that path lies in `folder`, links followed. Raises UsageError where that is outside."""
    root = folder.resolve()
    place = (root / check_path(path)).resolve()
    if not place.is_relative_to(root) or place == root:
        raise UsageError(
            f"{path[:200]!r} leads out of its folder.",
            remedy="Replace the link by the file itself, as `cp -rL` does.",
            code="SL-MODEL-PATH",
        )
    return place


def _problem(path: str) -> str:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "it is no Unicode text"
    if not path or size > PATH_BYTES_MAX:
        return "it is empty" if not path else f"it is longer than {PATH_BYTES_MAX} bytes"
    if any(character in path for character in SPECIAL):
        return f"it holds one of {SPECIAL}"
    if any(unicodedata.category(character).startswith(("C", "Z")) and character != " " for character in path):
        return "it holds characters that cannot be seen"
    if unicodedata.normalize("NFC", path) != path:
        return "it is not in Unicode's composed form (NFC)"
    if _looks(path, "./\\:%") != _looks(path, "./\\:%", raw=True):
        return "it holds a character that looks like a dot, a slash or a colon"
    parts = path.split("/")
    if len(parts) > DEPTH_MAX:
        return f"it is more than {DEPTH_MAX} folders deep"
    return next((problem for part in parts if (problem := _part_problem(part))), "")


def _part_problem(part: str) -> str:
    if not part:
        return "it begins or ends with a slash, or holds two in a row"
    if part in (".", "..") or part.endswith((".", " ")) or part.startswith((" ", "~")):
        return "a part of it is `.` or `..`, ends with a dot or space, or begins with a space or `~`"
    if len(part.encode()) > PART_BYTES_MAX:
        return f"a part of it is longer than {PART_BYTES_MAX} bytes"
    if part.partition(".")[0].casefold() in _DEVICES:
        return "a part of it is the name of a device on some systems"
    return ""


def _looks(path: str, of: str, *, raw: bool = False) -> int:
    """How many of these characters the path shows, or with `raw` truly holds."""
    text = path if raw else unicodedata.normalize("NFKC", path).translate(_ALIKE)
    return sum(text.count(character) for character in of)


_ALIKE = str.maketrans(
    {"。": ".", "․": ".", "⁄": "/", "∕": "/", "╱": "/", "⧸": "/", "∖": "\\", "⧵": "\\", "∶": ":", "：": ":"}
)
"""What Unicode's compatibility form leaves, and eyes or some programs take for the other."""
