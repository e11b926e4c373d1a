"""Data sets: JSON lines or CSV with a header, every mistake of which is told with its line."""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from suanli.domain.errors import NotFound
from suanli.spec.problems import Findings, Problem

LINE_BYTES_MAX = 16 * 2**20
ROWS_MAX = 5_000_000

CLASSIFICATION, LANGUAGE, EMBEDDINGS, PAIRS = "classification", "language-modelling", "embeddings", "pairs"
KINDS = (CLASSIFICATION, LANGUAGE, EMBEDDINGS, PAIRS)
FIELDS = {
    CLASSIFICATION: ("input", "label"),
    LANGUAGE: ("text",),
    EMBEDDINGS: ("text",),
    PAIRS: ("a", "b", "score"),
}
EXPECTED = 'expected {"input", "label"}, {"text"}, or {"a", "b", "score"}'


class DataSet(msgspec.Struct, frozen=True, kw_only=True):
    """Rows as they stand in the file. `fields` are those that all of them have and that a task needs."""

    name: str
    sha256: str
    suffix: str
    fields: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    def part(self, positions: Sequence[int]) -> tuple[dict[str, Any], ...]:
        return tuple(self.rows[at] for at in positions)


def read(path: Path, kind: str = "") -> DataSet:
    """The data set of a file, for a task of KINDS or the one that its first row is made for. O(bytes).

    Raises SpecErrors with every bad row, NotFound.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", remedy="Name a file of JSON lines or CSV with `--data`.")
    findings, hasher = Findings((str(path),)), hashlib.sha256()
    lines = _lines(path, hasher, findings)
    fields = FIELDS.get(kind, ())
    rows: list[dict[str, Any]] = []
    for number, row in (_csv_rows if path.suffix == ".csv" else _json_rows)(path, lines, findings):
        fields = fields or _fields_of(row)
        wrong = _wrong_with(row, fields)
        if wrong:
            findings.refuse(_problem(path, number, wrong))
        elif len(rows) == ROWS_MAX:
            findings.refuse(_problem(path, number, f"more than {ROWS_MAX:,} rows"))
            break
        else:
            rows.append(row)
    if not rows and not findings.problems:
        findings.refuse(_problem(path, 1, "the file has no rows"))
    if findings.problems:
        raise findings.errors()
    return DataSet(
        name=path.stem,
        sha256=hasher.hexdigest(),
        suffix=path.suffix or ".jsonl",
        fields=fields,
        rows=tuple(rows),
    )


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """In the format of the path's suffix."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _lines(path: Path, hasher: Any, findings: Findings) -> Iterator[str]:
    """Lines as text, each told to the hasher; one that is none, or too long, is empty."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            hasher.update(line)
            if len(line) > LINE_BYTES_MAX:
                findings.refuse(_problem(path, number, f"a line of more than {LINE_BYTES_MAX:,} bytes"))
                raise findings.errors()
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                findings.refuse(_problem(path, number, f"not UTF-8: {error.reason}"))
                yield ""


Rows = Iterator[tuple[int, dict[str, Any]]]


def _json_rows(path: Path, lines: Iterator[str], findings: Findings) -> Rows:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            findings.refuse(_problem(path, number, f"not JSON: {error}"))
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            findings.refuse(_problem(path, number, "a row is a JSON object"))


def _csv_rows(path: Path, lines: Iterator[str], findings: Findings) -> Rows:
    reader = csv.DictReader(lines, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            findings.refuse(_problem(path, reader.line_num, f"not CSV: {error}"))
            continue
        if None in row or None in row.values():
            findings.refuse(_problem(path, reader.line_num, "another number of columns than the header has"))
        else:
            yield (
                reader.line_num,
                {name: _number(value) if name == "score" else value for name, value in row.items()},
            )


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _fields_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    return next((fields for fields in FIELDS.values() if all(name in row for name in fields)), ())


def _wrong_with(row: Mapping[str, Any], fields: Sequence[str]) -> str:
    """What is wrong, empty for nothing."""
    if not fields:
        return EXPECTED
    for name in fields:
        if name not in row:
            return f"{name} is missing"
        if not _MAY_BE[name](row[name]):
            return f"{name} must be {_IS[name]}"
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_label(value: Any) -> bool:
    return isinstance(value, (str, int)) and value != ""


def _is_score(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_MAY_BE: Mapping[str, Callable[[Any], bool]] = {
    "input": lambda value: value not in (None, ""),
    "label": _is_label,
    "text": _is_text,
    "a": _is_text,
    "b": _is_text,
    "score": _is_score,
}
_IS = {
    "input": "what the model is given",
    "label": "a text or a whole number",
    "text": "a text with something in it",
    "a": "a text with something in it",
    "b": "a text with something in it",
    "score": "a finite number",
}


def _problem(path: Path, line: int, message: str) -> Problem:
    return Problem(file=str(path), line=line, column=1, message=message)
