"""Rates to come, from what came at the same time of the last days or weeks; only where that has foretold better.

Seasonal naive forecasting (R. J. Hyndman, G. Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed., §5.2),
of several seasons the weighted median, so that one odd day foretells nothing. Errors are compared by their squares:
what replicas must be there for are the few great rises of a day, which the mean of absolute errors hardly shows.
"""

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

BIN_S = 300.0
BINS_A_DAY, BINS_A_QUARTER = 288, 3

DAYS = {"daily": 1, "weekly": 7}

WEIGHTS = (4.0, 3.0, 2.0, 1.0)
"""Of the last season, the one before, and so on."""

SMOOTHED = 4
"""The present is taken as the last bin, or as the median of so many, whichever would have done better."""

BETTER = 0.9
"""A forecast must be off by no more than this share of what the present is off by: chance is no reason to follow it."""

Rates = NDArray[np.float64]
Bins = NDArray[np.int64]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Requests a second by bin of `BIN_S`, the first beginning at first · BIN_S; None where nothing is known."""

    first: int = 0
    rates: tuple[float | None, ...] = ()

    def followed_by(self, number: int, rate: float, *, kept: int) -> "Past":
        """With that bin's rate, and no more than the last `kept` bins. Bins that are left out are not known."""
        if not self.rates or number - self.first - len(self.rates) >= kept:
            return Past(first=number, rates=(rate,))
        between = number - self.first - len(self.rates)
        if between < 0:  # a clock that went back says nothing new
            return self
        rates = (*self.rates, *(None,) * between, rate)
        return Past(first=self.first + max(0, len(rates) - kept), rates=rates[-kept:])


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """`per_s` requests a second are to be ready for, None where the past is no guide; `why` says so in words."""

    per_s: float | None
    why: str


def bins_kept(season: str) -> int:
    """What a forecast and the check of it look at."""
    return (len(WEIGHTS) + 1) * DAYS[season] * BINS_A_DAY + 2 * BINS_A_DAY


def forecast(past: Past, season: str, timezone: str, now_s: float, ahead_s: float) -> Forecast:
    """The most that is expected from now until one bin after `ahead_s`, how long replicas take to start: days are not
    punctual to the minute. Raises ZoneInfoNotFoundError. O(bins of a season)."""
    days, zone = DAYS[season], ZoneInfo(timezone)
    here = int(now_s // BIN_S)
    horizon = max(1, math.ceil(ahead_s / BIN_S))
    error, present_error, compared = _errors(past, here, days, zone, horizon)
    if compared < days * BINS_A_DAY / 2:
        return Forecast(
            per_s=None, why=f"no forecast: too little of the last {_seasons(2, days)} has been recorded"
        )
    was_off = f"{error:.3g} requests/s over the last {_seasons(1, days)} (root mean square), the present"
    was_off += f" by {present_error:.3g}"
    if error > BETTER * present_error:
        return Forecast(per_s=None, why=f"no forecast: it would have been off by {was_off}")
    until = int((now_s + ahead_s) // BIN_S) + 1
    coming = _foretold(past, np.arange(here, until + 1), days, zone)
    known = coming[~np.isnan(coming)]
    if not known.size:
        return Forecast(per_s=None, why="no forecast: this time of day was never recorded")
    per_s = float(known.max())
    return Forecast(per_s=per_s, why=f"{per_s:.3g} requests/s are foretold; it was off by {was_off}")


def _errors(past: Past, here: int, days: int, zone: ZoneInfo, horizon: int) -> tuple[float, float, int]:
    """Root mean square errors over the last season, of the forecast and of the present taken for the future, where both
    are known; and in how many bins."""
    bins = np.arange(here - days * BINS_A_DAY, here)
    came, foretold = _at(past, bins), _foretold(past, bins, days, zone)
    before = np.array([_at(past, bins - horizon - i) for i in range(SMOOTHED)])
    both = ~np.isnan(came) & ~np.isnan(foretold) & ~np.isnan(before).any(axis=0)
    if not both.any():
        return math.inf, math.inf, 0
    presents = (before[0], np.median(before, axis=0))
    present_error = min(_rms((each - came)[both]) for each in presents)
    return _rms((foretold - came)[both]), present_error, int(both.sum())


def _rms(errors: Rates) -> float:
    return math.sqrt(float(errors @ errors) / len(errors))


def _foretold(past: Past, bins: Bins, days: int, zone: ZoneInfo) -> Rates:
    """Weighted median of the same time in earlier seasons, NaN where none is known. float[bins]."""
    back = [days * BINS_A_DAY * (i + 1) for i in range(len(WEIGHTS))]
    offsets = _offsets(bins, zone)
    seen = np.array([_at(past, bins - each + offsets - _offsets(bins - each, zone)) for each in back])
    weights = np.where(np.isnan(seen), 0.0, np.array(WEIGHTS)[:, None])
    order = np.argsort(seen, axis=0)  # unknown ones last
    shares = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    middle = (shares >= shares[-1] / 2.0).argmax(axis=0)
    return np.take_along_axis(np.take_along_axis(seen, order, axis=0), middle[None], axis=0)[0]


def _offsets(bins: Bins, zone: ZoneInfo) -> Bins:
    """How far the zone's clocks are ahead of UTC, in bins: a day may have 23 hours. int[bins]."""
    quarters, places = np.unique(bins // BINS_A_QUARTER, return_inverse=True)
    instants = (datetime.fromtimestamp(each * BINS_A_QUARTER * BIN_S, zone) for each in quarters.tolist())
    ahead = [round((instant.utcoffset() or timedelta()).total_seconds() / BIN_S) for instant in instants]
    return np.array(ahead, dtype=np.int64)[places]


def _at(past: Past, bins: Bins) -> Rates:
    """float[bins], NaN where nothing is known."""
    rates = np.array([*past.rates, None], dtype=np.float64)  # the last stands for all that lie outside
    places = bins - past.first
    inside = (places >= 0) & (places < len(past.rates))
    return rates[np.where(inside, places, len(past.rates))]


def _seasons(count: int, days: int) -> str:
    unit = "day" if days == 1 else "week"
    return unit if count == 1 else f"{count} {unit}s"
