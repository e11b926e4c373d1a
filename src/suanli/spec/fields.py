"""The types of fields: how a text becomes a value in SI units, and what the JSON Schema says of it.

Validators raise ValueError with what was expected, or Refusal where the remedy is more than an example.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from suanli.domain.errors import UsageError
from suanli.domain.model import parse_reference
from suanli.spec import quantities
from suanli.spec.command import argv
from suanli.spec.problems import shown

Charge = tuple[float, Literal["node", "accelerator"]]
"""An amount, and for what."""


class Shape(BaseModel):
    """A mapping in a document. A field without a value counts as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, fields: object) -> object:
        if not isinstance(fields, Mapping):
            return fields
        given = cast("Mapping[str, object]", fields)
        return {name: value for name, value in given.items() if value is not None}


def _schema(form: str, *types: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": types[0] if len(types) == 1 else list(types), "format": form, **more})


def _word(pattern: str, expected: str) -> PlainValidator:
    allowed = re.compile(pattern)

    def check(value: object) -> str:
        if not isinstance(value, str) or not allowed.fullmatch(value):
            raise ValueError(f"expected {expected}; got {shown(value)}")
        return value

    return PlainValidator(check)


_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PLACE = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_METRIC = r"[a-z][a-z0-9_]{0,99}"

Name = Annotated[
    str,
    _word(_NAME, "a name of at most 63 lower-case letters, digits and inner hyphens"),
    _schema("name", "string", pattern=f"^{_NAME}$"),
]
Place = Annotated[
    str,
    _word(_PLACE, "a name of letters, digits and inner `.`, `_` or `-`"),
    _schema("name", "string", pattern=f"^{_PLACE}$"),
]
Variable = Annotated[str, _word(_VARIABLE, "a variable's name of letters, digits and `_`")]
Metric = Annotated[
    str, _word(_METRIC, "a metric such as cpu_fraction"), _schema("name", "string", pattern=f"^{_METRIC}$")
]


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"expected a text; got {shown(value)}")
    return value


def _nonempty(value: object) -> str:
    text = _text(value)
    if not text.strip():
        raise ValueError("expected a text; got an empty one")
    return text


Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Nonempty = Annotated[str, PlainValidator(_nonempty), WithJsonSchema({"type": "string", "minLength": 1})]
Labels = Annotated[dict[Nonempty, Text], Field(max_length=256)]


def _one_or_many(values: object) -> object:
    return [values] if isinstance(values, str) else values


Names = Annotated[
    tuple[Name, ...],
    BeforeValidator(_one_or_many, json_schema_input_type=str | tuple[Name, ...]),
    Field(max_length=1000),
]
Argv = Annotated[
    tuple[str, ...],
    PlainValidator(argv),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "format": "command"}
    ),
]


def _reference(value: object) -> str:
    try:
        return str(parse_reference(_text(value)))
    except UsageError as error:
        raise ValueError(error.sentence.rstrip(".") + f". {error.remedy}") from error


ModelRef = Annotated[str, PlainValidator(_reference), _schema("model version", "string")]


def model_ref(value: object) -> object:
    """A text alone is a version of the registry."""
    return {"ref": value} if isinstance(value, str) else value


def _or_more(parse: Callable[[object], Any]) -> PlainValidator:
    """`4+` asks for at least 4, which is what any request means."""
    return PlainValidator(lambda value: quantities.quantity_or_more(value, parse)[0])


def _cores(value: object) -> float:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value.strip()):
        raise ValueError(f"expected a number of CPU cores such as 4, 0.5 or 4+; got {shown(value)}")
    return float(value)


def _power_per(value: object) -> Charge:
    text, _, per = value.partition(" per ") if isinstance(value, str) else (value, "", "")
    match per.strip():
        case "" | "node":
            return quantities.power(text), "node"
        case "accelerator":
            return quantities.power(text), "accelerator"
        case _:
            raise ValueError(f"expected a power such as 700W or 700W per accelerator; got {shown(value)}")


def _accelerators(value: object) -> tuple[tuple[str, float], ...]:
    """`{H100: 8}` is as good as `H100:8`: in YAML a space makes the one of the other."""
    if isinstance(value, dict):
        counts = cast("dict[str, object]", value)
        value = [name if count is None else f"{name}:{count}" for name, count in counts.items()]
    return quantities.accelerators(value)


Cores = Annotated[float, _or_more(_cores), _schema("cores", "number", "string")]
Size = Annotated[int, _or_more(quantities.memory), _schema("size", "string")]
Bandwidth = Annotated[float, _or_more(quantities.bandwidth), _schema("bandwidth", "string")]
TimeSpan = Annotated[float, PlainValidator(quantities.duration), _schema("time span", "string", "number")]


def for_all(value: object) -> object:
    """What is said without a name holds for all of them: `*`."""
    return cast("object", value) if isinstance(value, dict) else {"*": value}


Durations = Annotated[
    dict[Nonempty, TimeSpan],
    BeforeValidator(for_all, json_schema_input_type=TimeSpan | dict[Nonempty, TimeSpan]),
    Field(min_length=1, max_length=1000),
]
Share = Annotated[float, PlainValidator(quantities.percent), _schema("share", "string", "number")]
Range = Annotated[
    tuple[int, int | None], PlainValidator(quantities.count_range), _schema("range", "integer", "string")
]
Watts = Annotated[float, PlainValidator(quantities.power), _schema("power", "string")]
PowerDraw = Annotated[Charge, PlainValidator(_power_per), _schema("power draw", "string")]
Price = Annotated[Charge, PlainValidator(quantities.price), _schema("price", "number", "string")]
Accelerators = Annotated[
    tuple[tuple[str, float], ...],
    PlainValidator(_accelerators),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 32},
                {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
            ],
            "format": "accelerators",
        }
    ),
]


def _instant(value: object) -> datetime | timedelta:
    text = _text(value).strip()
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass  # then a time span from now
    try:
        return timedelta(seconds=quantities.duration(text))
    except ValueError:
        expected = "an instant such as 2026-12-01T09:00+08:00, or a time span from now such as 2h"
        raise ValueError(f"expected {expected}; got {shown(value)}") from None


def instant_s(when: datetime | timedelta, now_s: float) -> float:
    """Seconds since 1970. A clock time without a zone is UTC, so that it means the same on every machine."""
    if isinstance(when, timedelta):
        return now_s + when.total_seconds()
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _level(value: object) -> float:
    """A number as it stands; a share, size, power or time span in SI units."""
    text = _text(value).strip()
    if re.fullmatch(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", text):
        return float(text)
    for parse in (quantities.percent, quantities.memory, quantities.power, quantities.duration):
        try:
            return float(parse(text))
        except ValueError:
            continue
    raise ValueError(f"expected a level such as 0.9, 90%, 20GiB, 300W or 250ms; got {shown(value)}")


Instant = Annotated[datetime | timedelta, PlainValidator(_instant), _schema("instant", "string")]
Level = Annotated[float, PlainValidator(_level), _schema("level", "number", "string")]
