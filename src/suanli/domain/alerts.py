"""Alert rules and what has become of them."""

import enum

import msgspec


class AlertTest(enum.Enum):
    """What of the window is compared with the threshold."""

    MEAN = "mean"
    VARIANCE = "variance"
    RATE = "rate"
    ZSCORE = "zscore"


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """Fires where `test` of `metric` over `window_s` is above (or below) `threshold` for `for_s`.

    It resolves only once the value is back past `resolve_at` (default: the threshold), so that it does not flap.
    `half_life_s` is the EWMA's, for ZSCORE.
    """

    name: str
    metric: str
    test: AlertTest
    threshold: float
    above: bool = True
    window_s: float = 60.0
    for_s: float = 0.0
    resolve_at: float | None = None
    half_life_s: float = 60.0
    severity: str = "warning"
    summary: str = ""


class AlertStatus(enum.Enum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule on one subject (a node or workload). `since_s` is the instant of the last change of status."""

    rule: str
    subject: str
    status: AlertStatus
    value: float
    since_s: float
    severity: str = "warning"
    summary: str = ""
