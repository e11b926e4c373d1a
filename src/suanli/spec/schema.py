"""The JSON Schema of everything that can be declared, and look-up in it."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, cast

import yaml
from pydantic import Field, TypeAdapter

from suanli.spec.alert import AlertShape
from suanli.spec.fleet_shape import FleetShape
from suanli.spec.mix import MixShape
from suanli.spec.placement_shape import ProblemShape
from suanli.spec.scope import Path
from suanli.spec.serve_shape import Serve
from suanli.spec.workload_shape import Batch

Declared = FleetShape | Batch | Serve | AlertShape | ProblemShape | MixShape
Schema = Mapping[str, Any]

SHAPES: Mapping[str, type[Declared]] = {
    "fleet": FleetShape,
    "train": Batch,
    "job": Batch,
    "serve": Serve,
    "alert": AlertShape,
    "problem": ProblemShape,
    "mix": MixShape,
}


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one document, for editors and other tools: one of the kinds, by `kind`."""
    adapter: TypeAdapter[Declared] = TypeAdapter(Annotated[Declared, Field(discriminator="kind")])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Suanli",
        "description": "What Suanli is to manage or to solve: fleet, training, jobs, services, alert rules, problems.",
        **_tidy(adapter.json_schema(), yaml.safe_load),
    }


@functools.cache
def schema_of(kind: str) -> dict[str, Any]:
    """The schema of one kind of document, references resolved; its examples are YAML."""
    whole = _tidy(SHAPES[kind].model_json_schema(), str)
    return _resolved(whole, whole.get("$defs", {}))


def field_schema(kind: str, path: Path) -> Schema:
    """What the schema says of the value at `path`; empty where there is no such field."""
    found: Schema = schema_of(kind)
    for part in path:
        found = _inside(found, part)
    return found


def fields_of(node: Schema) -> Mapping[str, Any]:
    """The named fields of a mapping's schema."""
    return node.get("properties", {})


def mapping_of(node: Schema) -> Schema:
    """The mapping among what is allowed."""
    options: list[Schema] = [node, *node.get("anyOf", ())]
    return next((option for option in options if "properties" in option), options[0])


def walk(node: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every named field below, each before what is inside it; `0` stands for any item, `*` for any key."""
    for name, field in fields_of(node).items():
        yield (*path, name), field
        yield from walk(field, (*path, name))
    for option in node.get("anyOf", ()):
        yield from walk(option, path)
    if "items" in node:
        yield from walk(node["items"], (*path, 0))
    if values := _values_of(node):
        yield from walk(values, (*path, "*"))


def _inside(node: Schema, part: str | int) -> Schema:
    for option in (node, *node.get("anyOf", ())):
        found = (
            option.get("items") if isinstance(part, int) else fields_of(option).get(part, _values_of(option))
        )
        if found:
            return found
    return {}


def _values_of(node: Schema) -> Schema:
    """What is said of the values of a mapping with free keys."""
    by_pattern: dict[str, Schema] = node.get("patternProperties", {})
    values: Schema = node.get("additionalProperties") or {}
    return values or next(iter(by_pattern.values()), values)


def _resolved(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_resolved(item, definitions) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("dict[str, Any]", node)
    if "$ref" in fields:
        name = fields["$ref"].rpartition("/")[2]
        fields = {**definitions[name], **fields}
    return {
        key: _resolved(value, definitions) for key, value in fields.items() if key not in ("$defs", "$ref")
    }


def _tidy(node: Any, example: Callable[[str], Any]) -> Any:
    """Without what Pydantic adds and tells nobody anything: titles, and defaults not as anybody would write them."""
    if isinstance(node, list):
        return [_tidy(item, example) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("dict[str, Any]", node)
    if "examples" in fields:
        fields = {**fields, "examples": [example(text) for text in fields["examples"]]}
    return {key: _tidy(value, example) for key, value in fields.items() if not _is_noise(key, value)}


def _is_noise(key: str, value: Any) -> bool:
    if key == "default":
        return not isinstance(value, bool) and (not value or isinstance(value, list))
    return key == "title" and isinstance(value, str)
