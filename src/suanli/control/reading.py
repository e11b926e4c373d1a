"""What a worker wrote, piece by piece, as text."""

import codecs

import msgspec

from suanli.control.controller import Controller
from suanli.control.home import Home
from suanli.control.launch import log_dir
from suanli.control.requests import records_of
from suanli.control.snapshot import held
from suanli.domain.record import Record
from suanli.engine import worker_log


class LogText(msgspec.Struct, frozen=True, kw_only=True):
    """`next_offset` counts bytes. `ended`: that attempt writes no more; with an empty text, all has been read.

    `attempt` is None where none has been made yet.
    """

    text: str
    next_offset: int
    attempt: int | None
    ended: bool


def read_log(
    controller: Controller,
    home: Home,
    name: str,
    *,
    attempt: int | None = None,
    rank: int = 0,
    offset: int = 0,
) -> LogText:
    """The next piece from `offset`, by default of the latest attempt. Raises NotFound, Unavailable.

    Of a service's name without a replica: its first one. The mutex is not held while the engine reads.
    """
    with held(controller):
        record = records_of(controller, name)[0]
    number = attempt or record.attempts_made
    if not 0 < number <= record.attempts_made:
        return LogText(text="", next_offset=offset, attempt=attempt, ended=record.status.is_final)
    ended = _has_ended(record, number)
    data = controller.ports.engine.read_log(record.key, number, rank, offset)
    if (
        not data
    ):  # the engine forgets an attempt soon after its end; what it wrote on this machine is still here
        data = worker_log.read_chunk(
            worker_log.path_of(str(log_dir(home.path, record)), number, rank), offset
        )
    text, used = decoded(data, final=ended)
    return LogText(text=text, next_offset=offset + used, attempt=number, ended=ended)


def decoded(data: bytes, *, final: bool) -> tuple[str, int]:
    """UTF-8 as text, and how many bytes of it that were: a character cut off at the end is left for the next piece.

    Bytes that are no UTF-8 are replaced. With `final` nothing more comes, but a short rest may be the end of a piece,
    so only a rest that stands alone is taken as it is.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    rest = len(decoder.getstate()[0])
    if rest == len(data) and final:
        return data.decode("utf-8", "replace"), len(data)
    return text, len(data) - rest


def _has_ended(record: Record, number: int) -> bool:
    return record.attempt is None or record.attempt.number != number
