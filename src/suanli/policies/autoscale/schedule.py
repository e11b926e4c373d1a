"""Floors by time of day and day of week, as the clocks of a time zone show them."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from suanli.domain.workload import Floor

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S


def floor_at(floors: Sequence[Floor], timezone: str, now_s: float) -> int:
    """What the last floor that has begun asks for; the week repeats. Of two that begin at once, the later named. Raises
    ZoneInfoNotFoundError. O(7 · floors)."""
    local = datetime.fromtimestamp(now_s, ZoneInfo(timezone))
    day_s = (local.hour * 60 + local.minute) * 60 + local.second
    week_s = local.weekday() * DAY_S + day_s
    begun = [
        ((week_s - day * DAY_S - floor.at_s) % WEEK_S, -order, floor.replicas)
        for order, floor in enumerate(floors)
        for day in floor.days
    ]
    return min(begun)[2] if begun else 0
