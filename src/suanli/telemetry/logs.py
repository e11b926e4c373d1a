"""Structured logs: JSON lines to a file, lines for people to a terminal, secrets to neither.

What libraries say through `logging` takes the same way.
"""

import logging
import os
import re
import sys
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.types import EventDict, Processor

_FILE_BYTES_MAX = 20 * 2**20
_FILES_KEPT = 5
_HIDDEN = "[hidden]"
_NESTED_MAX = 8

_TELLING = r"(?:authorization|cookie|credentials?|passwd|password|passphrase|secret|token|api[_-]?key|private[_-]?key)"
_SECRET_KEY = re.compile(rf".*{_TELLING}", re.IGNORECASE)
_SECRETS_IN_TEXT = (
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (
        re.compile(rf"({_TELLING}[\"']?\s*[=:]\s*[\"']?)(?!\[hidden)[^\s\"',;&]+", re.IGNORECASE),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"(://[^/\s:@]+:)[^/\s@]+@"), rf"\1{_HIDDEN}@"),
)


def configure_logs(file: Path | None = None, level: str = "info", terminal: TextIO | None = None) -> None:
    """Log from now on to `file` (0600, rotated at 20 MiB, five kept) and to `terminal`, by default stderr.

    Lines are coloured where the terminal is one. Raises OSError where the file can't be opened.
    """
    shown: TextIO = terminal or sys.stderr
    people = structlog.dev.ConsoleRenderer(colors=shown.isatty(), pad_event_to=0)
    handlers: list[logging.Handler] = [_handler(logging.StreamHandler(shown), people)]
    if file is not None:
        handlers.append(_handler(_PrivateFileHandler(file), structlog.processors.JSONRenderer(default=str)))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for former in [handler for handler in root.handlers if handler.get_name() == __name__]:
        root.removeHandler(former)
        former.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level.upper())


def hide_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: what is under a telling key, or looks like a credential inside a text, is hidden."""
    return {key: _HIDDEN if _is_secret(key, value) else _scrubbed(value) for key, value in event.items()}


_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    hide_secrets,
)


class _PrivateFileHandler(RotatingFileHandler):
    """Opens its files for their owner alone, whatever the umask; so are the rotated ones."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, maxBytes=_FILE_BYTES_MAX, backupCount=_FILES_KEPT, encoding="utf-8")

    def _open(self) -> Any:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)  # it may have been there before
        return os.fdopen(descriptor, self.mode, encoding=self.encoding)


def _handler(handler: logging.Handler, renderer: Processor) -> logging.Handler:
    handler.set_name(__name__)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_SHARED],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler.setFormatter(formatter)
    return handler


def _is_secret(key: object, value: object) -> bool:
    return isinstance(key, str) and value is not None and bool(_SECRET_KEY.fullmatch(key))


def _scrubbed(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        for pattern, replacement in _SECRETS_IN_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if depth == _NESTED_MAX:
        return "…"
    if isinstance(value, Mapping):
        return {k: _HIDDEN if _is_secret(k, v) else _scrubbed(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item, depth + 1) for item in value]
    if isinstance(value, int | float | bool | None):
        return value
    return _scrubbed(str(value), depth)
