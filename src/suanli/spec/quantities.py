"""Quantities as people write them, read into SI units: `memory("80GiB")`, `duration("1h30m")`, `bandwidth("400Gbps")`.

Regular expressions and tables of unit symbols decide what a text may say; pint only converts between the units that the
tables name, so no text of a user's ever reaches its expression parser. Every function raises ValueError with what was
expected, an example, what it got and, where it can tell, what was probably meant.
"""

import functools
import itertools
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast

import msgspec

LONGEST_TEXT = 64

Quantity = TypeVar("Quantity")


def memory(value: object) -> int:
    """Bytes, from a text such as `80GiB` or `2TB`. A number without a unit is refused: it could mean anything."""
    size = round(_measured(value, _MEMORY))
    if size >= 2**63:
        raise _refusal(value, _MEMORY.expected, "that is more than any machine has")
    return size


def bandwidth(value: object) -> float:
    """Bits per second, from a text such as `400Gbps` (bits) or `10GB/s` (bytes)."""
    return float(_measured(value, _BANDWIDTH))


def power(value: object) -> float:
    """Watts, from a text such as `700W` or `1.2kW`."""
    return float(_measured(value, _POWER))


def duration(value: object) -> float:
    """Seconds, from a text such as `15m` (minutes), `1h30m` or `200ms`, or from a plain number of seconds."""
    expected = "a duration such as 90s, 15m (minutes), 1h30m or 2d, or a number of seconds"
    if isinstance(value, str) and not _NUMBER_ONLY.fullmatch(value.strip()):
        seconds = _duration_text(_text(value, expected), expected)
    else:
        seconds = _number(value, expected)
    if seconds > 100 * 365.25 * 86_400:
        raise _refusal(value, expected, "that is more than a hundred years")
    return seconds


def price(value: object) -> tuple[float, Literal["node", "accelerator"]]:
    """US dollars per hour, and for what, from `2.5/h`, `$2.5/h per accelerator` or a plain number (per node)."""
    expected = "US dollars per hour such as 2.5/h or 3.10/h per accelerator"
    said = _PRICE.fullmatch(_text(value, expected)) if isinstance(value, str) else None
    usd_per_hour = _number(said["usd"] if said else value, expected)
    if usd_per_hour > 1e6:
        raise _refusal(value, expected, "that is more than a million dollars per hour")
    return usd_per_hour, "accelerator" if said and said["per"] == "accelerator" else "node"


def percent(value: object) -> float:
    """A fraction between 0 and 1, from a text such as `5%` or the fraction itself."""
    expected = "a share such as 5% or 0.05"
    said = _PERCENT.fullmatch(_text(value, expected)) if isinstance(value, str) else None
    share = float(Decimal(said["number"]) / 100) if said else _number(value, expected)
    if share > 1:
        raise _refusal(value, expected, "a share is at most 100%" if said else f"did you mean {share:g}%?")
    return share


def count_range(value: object) -> tuple[int, int | None]:
    """The fewest and the most (None: open), from `4`, `"4"`, `1..4` or `32+`."""
    expected = "a count such as 4, a range such as 1..4, or an open one such as 32+"
    said = _COUNT_RANGE.fullmatch(str(value) if type(value) is int and value >= 0 else _text(value, expected))
    if said is None:
        raise _refusal(value, expected)
    fewest, most = int(said["fewest"]), int(said["most"] or said["fewest"])
    if most < fewest:
        raise _refusal(value, expected, f"did you mean {most}..{fewest}?")
    return fewest, None if said["open"] else most


def quantity_or_more(value: object, parse: Callable[[object], Quantity] = memory) -> tuple[Quantity, bool]:
    """What `parse` makes of the value, and whether a trailing `+` said "or more", as in `512GiB+`."""
    if isinstance(value, str) and value.rstrip().endswith("+"):
        return parse(value.rstrip()[:-1]), True
    return parse(value), False


def accelerators(value: object) -> tuple[tuple[str, float], ...]:
    """Alternatives of (name as written, count), from `H100:8`, `8xH100`, `A100:0.5`, a list of such, or `{H100: 8}`.

    A count is whole, or a share of one accelerator; without one it is 1.
    """
    if isinstance(value, str):
        return (_accelerator(value),)
    if isinstance(value, Mapping):
        texts = [_entry_text(name, count) for name, count in cast("Mapping[object, object]", value).items()]
    elif isinstance(value, list | tuple):
        texts = list(cast("Sequence[object]", value))
    else:
        raise _refusal(value, _ACCELERATORS, 'a name made of digits needs quotes, as in "4090:8"')
    if not 1 <= len(texts) <= 32:
        raise _refusal(texts, f"1 to 32 alternatives, each {_ACCELERATORS}")
    return tuple(_accelerator(text) for text in texts)


class _Scale(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of quantity: how to ask for it, its SI unit and every accepted symbol, in pint's words."""

    expected: str
    usual: str
    si: str
    units: dict[str, str]


_DECIMAL = {"": "", "k": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta"}
_BINARY = {"Ki": "kibi", "Mi": "mebi", "Gi": "gibi", "Ti": "tebi", "Pi": "pebi"}
_PREFIXES = _DECIMAL | _BINARY
_BYTES = {f"{symbol}B": f"{prefix}byte" for symbol, prefix in _PREFIXES.items()}
# As Kubernetes writes them; a bare G is refused, since it means GB to some and GiB to others.
_BYTES_SHORT = {symbol: f"{prefix}byte" for symbol, prefix in _BINARY.items()}

_MEMORY = _Scale(
    expected="a size with its unit such as 80GiB or 2TB",
    usual="GiB",
    si="byte",
    units=_BYTES
    | _BYTES_SHORT
    | {"KB": "kilobyte"}
    | {symbol.lower(): unit for symbol, unit in _BYTES.items()},
)
_BANDWIDTH = _Scale(
    expected="a bandwidth with its unit such as 400Gbps (bits) or 10GB/s (bytes)",
    usual="Gbps",
    si="bit/second",
    units={
        f"{p}{bit}": f"{prefix}bit/second"
        for p, prefix in _DECIMAL.items()
        for bit in ("bps", "b/s", "bit/s")
    }
    | {f"{p}{byte}": f"{prefix}byte/second" for p, prefix in _PREFIXES.items() for byte in ("B/s", "Bps")},
)
_POWER = _Scale(
    expected="a power with its unit such as 700W or 1.2kW",
    usual="W",
    si="watt",
    units={"W": "watt", "kW": "kilowatt", "MW": "megawatt"},
)
# fmt: off
_TIME = {
    "us": "microsecond", "ms": "millisecond", "s": "second", "sec": "second",
    "m": "minute", "min": "minute", "h": "hour", "hr": "hour", "d": "day", "w": "week",
}
# fmt: on
_ACCELERATORS = "an accelerator such as H100, H100:8, 8xH100 or A100:0.5"

# Digits are bounded so that every number fits a float, and ASCII so that what is read is what was seen.
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?"
_NUMBER_ONLY = re.compile(_NUMBER)
_MEASURE = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>[A-Za-z/]*)")
_DURATION_PART = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)\s*")
_PRICE = re.compile(
    rf"\$?\s*(?P<usd>{_NUMBER})\s*(?:USD)?\s*(?:/\s*(?:h|hr|hour))?(?:\s+per\s+(?P<per>node|accelerator))?"
)
_PERCENT = re.compile(rf"(?P<number>{_NUMBER})\s*%")
_COUNT_RANGE = re.compile(r"(?P<fewest>[0-9]{1,6})(?:\s*\.\.\s*(?P<most>[0-9]{1,6})|(?P<open>\+))?")
_NAME = r"[A-Za-z0-9][A-Za-z0-9 ._-]*"
_TIMES_NAME = re.compile(rf"(?P<count>[0-9]{{1,4}})\s*[x×]\s*(?P<name>{_NAME})")
_NAME_COUNT = re.compile(rf"(?P<name>{_NAME})(?::\s*(?P<count>[0-9]{{1,4}}(?:\.[0-9]{{1,9}})?))?")


def _measured(value: object, scale: _Scale) -> Decimal:
    said = _MEASURE.fullmatch(str(value) if type(value) in {int, float} else _text(value, scale.expected))
    if said is None:
        raise _refusal(value, scale.expected)
    if said["unit"] not in scale.units:
        meant = " or ".join(said["number"] + symbol for symbol in _near(said["unit"], scale))
        raise _refusal(value, scale.expected, f"did you mean {meant}?" if meant else "")
    return Decimal(said["number"]) * _factor(scale.units[said["unit"]], scale.si)


def _near(symbol: str, scale: _Scale) -> list[str]:
    """At most three symbols that a wrong one may have meant, one for each unit; for none at all, the usual one."""
    if not symbol:
        return [scale.usual]
    near: dict[str, str] = {}
    for known, unit in scale.units.items():
        if known.casefold().startswith(symbol.casefold()):
            near.setdefault(unit, known)
    return list(near.values())[:3]


def _duration_text(text: str, expected: str) -> float:
    parts: list[tuple[Decimal, Decimal]] = []
    read = 0
    while read < len(text):
        part = _DURATION_PART.match(text, read)
        if part is None or part[2] not in _TIME:
            raise _refusal(text, expected)
        parts.append((Decimal(part[1]), _factor(_TIME[part[2]], "second")))
        read = part.end()
    if any(later >= earlier for (_, earlier), (_, later) in itertools.pairwise(parts)):
        raise _refusal(text, expected, "write the larger unit first, and each unit once")
    return float(sum(number * factor for number, factor in parts))


def _accelerator(value: object) -> tuple[str, float]:
    text = _text(value, _ACCELERATORS)
    said = _TIMES_NAME.fullmatch(text) or _NAME_COUNT.fullmatch(text)
    if said is None:
        raise _refusal(value, _ACCELERATORS)
    count = float(said["count"] or 1)
    if count == 0 or (count > 1 and not count.is_integer()):
        raise _refusal(value, _ACCELERATORS, "a count is whole, or a share of one between 0 and 1")
    return said["name"].strip(), count


def _entry_text(name: object, count: object) -> object:
    # YAML reads {H100:8} as the key "H100:8" without a value, and {4090: 8} as a number's.
    if count is None:
        return name
    if not isinstance(name, str | int) or not isinstance(count, int | float):
        raise _refusal({name: count}, _ACCELERATORS)
    return f"{name}:{count}"


def _number(value: object, expected: str) -> float:
    if isinstance(value, str) and _NUMBER_ONLY.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e18:
        raise _refusal(value, expected)
    return float(value)


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= LONGEST_TEXT:
        raise _refusal(value, expected)
    return value.strip()


def _refusal(value: object, expected: str, hint: str = "") -> ValueError:
    return ValueError(f"expected {expected}; got {reprlib.repr(value)}" + (f"; {hint}" if hint else ""))


@functools.cache
def _factor(unit: str, si: str) -> Decimal:
    """How many `si` make one `unit`. Both come from the tables above."""
    return _registry().Quantity(Decimal(1), unit).to(si).magnitude


@functools.cache
def _registry() -> Any:
    """Just the units above: pint's own table takes 0.2 s to read, and has no dimension for information."""
    import pint  # takes half a second, so only where a quantity is read

    units = cast("Any", pint).UnitRegistry(None, non_int_type=Decimal)
    units.load_definitions(_DEFINITIONS.split("; "))
    return units


_DEFINITIONS = (
    "micro- = 1e-6; milli- = 1e-3; kilo- = 1e3; mega- = 1e6; giga- = 1e9; tera- = 1e12; peta- = 1e15; "
    "kibi- = 1024; mebi- = 1048576; gibi- = 1073741824; tebi- = 1099511627776; pebi- = 1125899906842624; "
    "bit = [information]; byte = 8 * bit; watt = [power]; "
    "second = [time]; minute = 60 * second; hour = 60 * minute; day = 24 * hour; week = 7 * day"
)
