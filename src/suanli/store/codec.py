"""Domain values as JSON text and back."""

import numbers
from typing import Any

import msgspec

from suanli.domain.decision import Decision, Memory
from suanli.domain.errors import UsageError
from suanli.domain.events import Event
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record
from suanli.domain.service import ServiceRecord

EVENT: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
RECORD = msgspec.json.Decoder(Record)
DECISION = msgspec.json.Decoder(Decision)
MEMORY = msgspec.json.Decoder(Memory)
FLEET = msgspec.json.Decoder(Fleet | None)
SERVICE = msgspec.json.Decoder(ServiceRecord)
CORDONED = msgspec.json.Decoder(dict[str, bool])
TEXT = msgspec.json.Decoder(str)
TEXTS = msgspec.json.Decoder(tuple[str, ...])


def _plain_number(value: object) -> int | float:
    """NumPy's scalars, which decisions are computed with, are numbers too."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no value of the domain")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain_number)


def to_text(value: object, decoder: msgspec.json.Decoder[Any]) -> str:
    """JSON that decodes to the very same value.

    Read back before it is written: JSON turns NaN and infinities into null without a word, and a log that cannot be
    read again is a lost one. Raises UsageError.
    """
    try:
        text = _ENCODER.encode(value).decode()
        if decoder.decode(text) == value:
            return text
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise _inexact(value) from error
    raise _inexact(value)


def _inexact(value: object) -> UsageError:
    return UsageError(
        f"{type(value).__name__} cannot be stored exactly: it holds a number that is not finite, "
        "a value of another type than declared, or broken text.",
        remedy="Correct the value where it comes from.",
    )
