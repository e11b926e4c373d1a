"""What the JSON Schema asks for, in words."""

from collections.abc import Mapping
from typing import Any, cast

from suanli.spec.schema import Schema


def expected_of(node: Schema) -> str:
    """What a value must be, in words."""
    options = options_of(node)
    if options:
        return f"{'one of ' if len(options) > 1 else ''}{', '.join(str(option) for option in options)}"
    phrases = (_phrase(option) for option in node.get("anyOf", ()))
    return _phrase(node) or " or ".join(dict.fromkeys(filter(None, phrases)))


def _phrase(node: Schema) -> str:
    phrase = _FORMS.get(node.get("format", "")) or _TYPES.get(_type_of(node), "")
    return phrase and phrase + _bounds(node)


def options_of(node: Schema) -> list[Any]:
    """The only values allowed; none where there are more than can be listed."""
    return cast("list[Any]", node.get("enum") or ([node["const"]] if "const" in node else []))


def _type_of(node: Schema) -> str:
    kind: str | list[str] = node.get("type", "")
    return kind if isinstance(kind, str) else kind[0]


def _bounds(node: Schema) -> str:
    if "exclusiveMinimum" in node:
        return f" above {node['exclusiveMinimum']}"
    least, most = (
        next((node[key] for key in (f"{end}imum", f"{end}Items", f"{end}Properties") if key in node), None)
        for end in ("min", "max")
    )
    unit = {"array": " items", "object": " entries"}.get(_type_of(node), "")
    if least is not None and most is not None:
        return f" of {least}{unit}" if least == most else f" from {least} to {most}{unit}"
    if least is not None:
        return f" of at least {least}{unit}"
    return f" of at most {most}{unit}" if most is not None else ""


_FORMS: Mapping[str, str] = {
    "accelerators": "accelerators such as H100:8",
    "bandwidth": "a bandwidth such as 400Gbps",
    "command": "a command",
    "cores": "a number of CPU cores such as 4",
    "instant": "an instant or a time span from now",
    "level": "a level such as 90%",
    "name": "a name",
    "power": "a power such as 700W",
    "power draw": "a power such as 700W per accelerator",
    "price": "a price such as 2.5/h",
    "range": "a number or range such as 1..4",
    "share": "a share such as 5%",
    "size": "a size such as 16GiB",
    "time span": "a time span such as 15m",
}
_TYPES: Mapping[str, str] = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a mapping",
    "string": "a text",
}
