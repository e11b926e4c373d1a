"""What services were asked in the last days or weeks, kept across restarts, and what that foretells."""

import math
from pathlib import Path

import msgspec
import structlog

from suanli.domain.service import ServiceRecord
from suanli.domain.traffic import Demand
from suanli.policies.autoscale.forecast import BIN_S, Forecast, Past, bins_kept, forecast
from suanli.whole_file import replace

GAP_S = 5.0
"""A longer silence between two looks is time of which nothing is known."""

KNOWN_MIN_S = BIN_S / 2
"""A bin of which less is known is left out."""

STARTUP_S = 60.0
"""How long replicas take to start, until one has."""

log = structlog.get_logger("suanli.control")


class Rates:
    """A file for each service with a forecast in `folder`, written as each bin of time ends.

    Written whole but not through to the disk: what a crash of the machine takes is a past that is gathered again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services: dict[str, _Kept] = {}

    def foretold(
        self, service: ServiceRecord, demand: Demand, arrived: int, startup_s: float | None, now_s: float
    ) -> Forecast | None:
        """What is expected while a replica starts, once it has taken in that `arrived` requests came ever; None where
        no forecast is declared. O(1), and O(bins of a season) once in a bin."""
        scaling = service.service.scaling
        if scaling.forecast == "off":
            self.forget(service.name)
            return None
        kept = self._services.get(service.name)
        if kept is None:
            kept = self._services[service.name] = _Kept(self._read(service.name))
        if kept.take(arrived if demand.known else None, now_s, bins_kept(scaling.forecast)):
            self._write(service.name, kept.past)
        ahead_s = STARTUP_S if startup_s is None else startup_s
        return kept.forecast(scaling.forecast, scaling.timezone, now_s, ahead_s)

    def forget(self, name: str) -> None:
        """Nothing more is heard of it for now. Its file stays."""
        self._services.pop(name, None)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read(self, name: str) -> Past:
        try:
            return msgspec.json.decode(self._path(name).read_bytes(), type=Past)
        except FileNotFoundError:
            return Past()
        except (OSError, msgspec.DecodeError) as error:
            log.warning("past traffic cannot be read, it is gathered anew", service=name, error=str(error))
            return Past()

    def _write(self, name: str, past: Past) -> None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            replace(self._path(name), msgspec.json.encode(past), durable=False)
        except OSError as error:
            log.warning("past traffic cannot be kept", service=name, error=str(error))


class _Kept:
    """Of one service: its past, the bin that goes on, and what was last foretold."""

    def __init__(self, past: Past) -> None:
        self.past = past
        self._bin = -1
        self._known_s = 0.0
        self._count = 0
        self._last: tuple[float, int] | None = None
        self._foretold: tuple[object, Forecast] | None = None

    def take(self, arrived: int | None, now_s: float, kept: int) -> bool:
        """Whether a bin has ended of which enough was known. `arrived` is None while nothing is."""
        number, ended = int(now_s // BIN_S), False
        if number != self._bin:
            if self._known_s >= KNOWN_MIN_S:
                self.past = self.past.followed_by(self._bin, round(self._count / self._known_s, 3), kept=kept)
                ended = True
            self._bin, self._known_s, self._count = number, 0.0, 0
        last, self._last = self._last, None if arrived is None else (now_s, arrived)
        if last is not None and arrived is not None and 0.0 < now_s - last[0] <= GAP_S:
            self._known_s += now_s - last[0]
            self._count += arrived - last[1]
        return ended

    def forecast(self, season: str, timezone: str, now_s: float, ahead_s: float) -> Forecast:
        """Looked up anew in each bin, and where replicas take longer by a bin or less."""
        until = int((now_s + ahead_s) // BIN_S)
        asked = (season, timezone, self._bin, until, math.ceil(ahead_s / BIN_S), len(self.past.rates))
        if self._foretold is None or self._foretold[0] != asked:
            self._foretold = (asked, forecast(self.past, season, timezone, now_s, ahead_s))
        return self._foretold[1]
