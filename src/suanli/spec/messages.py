"""What is wrong with the shape of a document, in words: where Pydantic and the JSON Schema meet the author."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from suanli.spec.problems import Problem, Refusal, nearest, shown
from suanli.spec.schema import SHAPES, field_schema, fields_of, mapping_of, schema_of, walk
from suanli.spec.scope import Document, Path, dotted
from suanli.spec.wording import expected_of, options_of

OTHER_SPELLINGS: Mapping[str, str] = {
    "accelerator": "accelerators",
    "any_of": "accelerators",
    "cmd": "run",
    "command": "run",
    "commands": "run",
    "cpu": "cpus",
    "depends_on": "after",
    "entrypoint": "run",
    "gpu": "accelerators",
    "gpus": "accelerators",
    "labels": "node_labels",
    "max_duration": "duration",
    "mem": "memory",
    "min_replicas": "replicas",
    "max_replicas": "replicas",
    "node_selector": "node_labels",
    "nodeSelector": "node_labels",
    "num_nodes": "nodes",
    "start_after": "not_before",
    "working_dir": "workdir",
}
"""How other systems call a field of ours."""


def shape_problems(document: Document, error: ValidationError) -> Iterator[Problem]:
    """One problem for each mistake that Pydantic found in a document of a known kind."""
    for details in error.errors(include_url=False):
        yield _problem(document, details)


def _problem(document: Document, details: ErrorDetails) -> Problem:
    path: Path = details["loc"]
    if path and path[-1] == "[key]":
        path = path[:-1]
    match details["type"]:
        case "extra_forbidden":
            return _unknown_field(document, path)
        case "missing":
            return document.problem(path, f"`{path[-1]}` is missing", _example(document, path))
        case "value_error":
            return _refused(document, path, details.get("ctx", {})["error"])
        case _:
            expected = expected_of(field_schema(document.kind, path))
            found = shown(details["input"])
            remedy = _remedy(document, path, details["input"])
            return document.problem(path, f"expected {expected}; got {found}", remedy)


def _refused(document: Document, path: Path, error: ValueError) -> Problem:
    if isinstance(error, Refusal):
        return document.problem(path, str(error), error.remedy)
    message, _, meant = str(error).partition("; did you mean ")
    return document.problem(path, message, f"Did you mean {meant}" if meant else _example(document, path))


def _remedy(document: Document, path: Path, found: object) -> str:
    options = map(str, options_of(field_schema(document.kind, path)))
    meant = nearest(found, options) if isinstance(found, str) else ""
    return f"Did you mean `{meant}`?" if meant else _example(document, path)


def _example(document: Document, path: Path) -> str:
    """How the field is written, or the innermost one around it that has an example."""
    for depth in range(len(path), 0, -1):
        examples = field_schema(document.kind, path[:depth]).get("examples")
        if examples and isinstance(path[depth - 1], str):
            return f"For example `{path[depth - 1]}: {examples[0]}`."
    return ""


def _unknown_field(document: Document, path: Path) -> Problem:
    field, here = str(path[-1]), path[:-1]
    there = fields_of(mapping_of(field_schema(document.kind, here)))
    return document.problem(
        path, f"there is no field `{field[:60]}` here", _meant(document.kind, field, here, there)
    )


def _meant(kind: str, field: str, here: Path, there: Mapping[str, Any]) -> str:
    homes = {str(path[-1]): path[:-1] for path, _ in reversed(list(walk(schema_of(kind))))}
    if field in homes:
        home = dotted(homes[field]).replace("[0]", "[]")
        return f"It belongs under `{home}`." if home else f"It belongs beside `{here[0]}`, not in it."
    if (other := OTHER_SPELLINGS.get(field)) in homes:
        return f"Did you mean `{other if other in there else dotted((*homes[other], other))}`?"
    if kinds := [other for other in SHAPES if not here and field in fields_of(schema_of(other))]:
        return f"Only documents of kind {' or '.join(kinds)} have it."
    if near := nearest(field, there):
        return f"Did you mean `{near}`?"
    return f"The fields here are {', '.join(there)}." if there else ""
