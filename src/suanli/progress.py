"""How a program tells Suanli where it is. Standard library only; does nothing outside Suanli.

The supervisor of a worker names a file in SUANLI_PROGRESS_FILE and reads it when it likes; the program replaces it
atomically, at most ten times a second, and the last word always lands. Nothing here may stop the program that
reports: a full disk or an odd metric costs the report, not the training.
"""

import atexit
import functools
import itertools
import json
import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, SupportsFloat

FILE_VARIABLE = "SUANLI_PROGRESS_FILE"
INTERVAL_S = 0.1


def progress(step: int, total: int | None = None, metrics: Mapping[str, SupportsFloat] | None = None) -> None:
    """Say that `step` of `total` is done, with metrics by name. Safe from any thread; never raises.

    A metric keeps its last value until it is given again; one that is not a finite number is dropped.
    """
    if not os.environ.get(FILE_VARIABLE):
        return
    try:
        _report.say({"step": int(step), "total": None if total is None else int(total)}, metrics or {})
    except Exception as error:  # noqa: BLE001 - whatever was passed in, the caller goes on
        _warn(f"progress dropped: {error!r}")


def report_checkpoint(step: int) -> None:
    """Say that a checkpoint of `step` is safe on disk; `commit_checkpoint` does it by itself. Never raises."""
    if not os.environ.get(FILE_VARIABLE):
        return
    try:
        _report.say({"checkpoint_step": int(step), "checkpoint_s": time.time()}, {})
    except Exception as error:  # noqa: BLE001 - whatever was passed in, the caller goes on
        _warn(f"checkpoint not reported: {error!r}")


class _Report:
    """What was said last, and whether it still has to reach the file."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant, for a signal handler may report in the midst of a report
        self._fields: dict[str, Any] = {"step": 0, "total": None}
        self._metrics: dict[str, float] = {}
        self._written_s = -math.inf
        self._pending: threading.Timer | None = None
        self._drafts = itertools.count()

    def say(self, fields: dict[str, Any], metrics: Mapping[str, SupportsFloat]) -> None:
        with self._lock:
            self._fields |= fields | {"at_s": time.time()}
            for name, value in metrics.items():
                self._metrics[str(name)] = _number(value)
            wait_s = self._written_s + INTERVAL_S - time.monotonic()
            if wait_s <= 0:
                self._write()
            elif self._pending is None:
                self._pending = threading.Timer(wait_s, self.flush)
                self._pending.daemon = True
                self._pending.start()

    def flush(self) -> None:
        with self._lock:
            if self._pending is not None:
                self._write()

    def _write(self) -> None:
        self._pending, self._written_s = None, time.monotonic()
        path = Path(os.environ[FILE_VARIABLE])
        draft = path.with_name(f"{path.name}.{os.getpid()}.{next(self._drafts)}")
        finite = {name: value for name, value in self._metrics.items() if math.isfinite(value)}
        try:
            draft.write_text(json.dumps(self._fields | {"metrics": finite}), encoding="utf-8")
            draft.replace(path)
        except OSError as error:
            _warn(f"progress not written: {error}")


def _number(value: SupportsFloat) -> float:
    try:
        return float(value)
    except Exception as error:  # noqa: BLE001 - a framework's tensor may raise anything
        _warn(f"metric dropped: {error!r}")
        return math.nan


@functools.lru_cache(maxsize=64)
def _warn(message: str) -> None:
    """Once per message: a full disk would otherwise fill the log as well."""
    logging.getLogger("suanli.progress").warning(message)


_report = _Report()
atexit.register(_report.flush)
