"""Alert rules over a sliding window: inactive → pending → firing → resolved, with hysteresis. Pure.

A rule speaks of every node or workload that reports its metric. Missing data holds the state: a firing alert never
resolves because nothing is heard any more. What is no longer there to be watched resolves, and people are told.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from suanli.domain.alerts import Alert, AlertRule, AlertStatus, AlertTest
from suanli.ports.telemetry import Telemetry
from suanli.telemetry import measures
from suanli.telemetry.readings import NODE_METRICS

RESOLVED_SHOWN_S = 900.0
"""A resolved alert is listed for that long."""

_TOLD = (AlertStatus.FIRING, AlertStatus.RESOLVED)

_MEASURE: Mapping[AlertTest, Callable[[measures.Points, AlertRule], float | None]] = {
    AlertTest.MEAN: lambda points, rule: measures.mean(points),
    AlertTest.VARIANCE: lambda points, rule: measures.variance(points),
    AlertTest.RATE: lambda points, rule: measures.slope(points),
    AlertTest.ZSCORE: lambda points, rule: measures.zscore(points, rule.half_life_s),
}


def evaluate_all(
    rules: Sequence[AlertRule],
    telemetry: Telemetry,
    previous: Sequence[Alert],
    now_s: float,
    *,
    nodes: Collection[str] | None = None,
    workloads: Collection[str] | None = None,
) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
    """All alerts that are not inactive, and those of them that people should hear of: just fired or just resolved.

    `nodes` of the fleet and keys of unfinished `workloads` are what there is to watch, heard of or not. Where they are
    not given, everything that was ever heard of counts as still there.
    O(rules × subjects × points in the window).
    """
    before = {(alert.rule, alert.subject): alert for alert in previous}
    after: dict[tuple[str, str], Alert] = {}
    for rule in rules:
        known = nodes if rule.metric in NODE_METRICS else workloads
        silent = {subject for name, subject in before if name == rule.name}
        heard_of = {*telemetry.subjects(rule.metric), *silent}
        for subject in heard_of if known is None else heard_of.intersection(known):
            series = telemetry.series(subject, rule.metric, now_s - rule.window_s)
            key = rule.name, subject
            after[key] = evaluate(rule, subject, series, before.get(key), now_s)
    after |= {key: _gone(alert, now_s) for key, alert in before.items() if key not in after}
    alerts = {key: after[key] for key in sorted(after) if after[key].status is not AlertStatus.INACTIVE}
    changed = tuple(
        alert
        for key, alert in alerts.items()
        if alert.status in _TOLD and (key not in before or before[key].status is not alert.status)
    )
    return tuple(alerts.values()), changed


def evaluate(
    rule: AlertRule, subject: str, series: measures.Points, previous: Alert | None, now_s: float
) -> Alert:
    """The alert of one rule on one subject, from the points of its window.

    Its value is what was compared; it keeps the last one where the window holds too little.
    """
    alert = previous or Alert(
        rule=rule.name, subject=subject, status=AlertStatus.INACTIVE, value=0.0, since_s=now_s
    )
    alert = msgspec.structs.replace(alert, severity=rule.severity, summary=rule.summary)
    window = [point for point in series if now_s - rule.window_s <= point[0] <= now_s]
    value = _MEASURE[rule.test](window, rule)
    if value is None:
        return alert
    status = _status(rule, value, alert, now_s)
    since_s = alert.since_s if status is alert.status else now_s
    return msgspec.structs.replace(alert, status=status, value=value, since_s=since_s)


def _status(rule: AlertRule, value: float, alert: Alert, now_s: float) -> AlertStatus:
    match alert.status:
        case AlertStatus.FIRING:
            return AlertStatus.RESOLVED if _is_back(rule, value) else AlertStatus.FIRING
        case AlertStatus.PENDING if _is_beyond(rule, value):
            waited = now_s - alert.since_s >= rule.for_s
            return AlertStatus.FIRING if waited else AlertStatus.PENDING
        case AlertStatus.INACTIVE | AlertStatus.RESOLVED if _is_beyond(rule, value):
            return AlertStatus.PENDING if rule.for_s > 0 else AlertStatus.FIRING
        case AlertStatus.RESOLVED if now_s - alert.since_s < RESOLVED_SHOWN_S:
            return AlertStatus.RESOLVED
        case _:
            return AlertStatus.INACTIVE


def _is_beyond(rule: AlertRule, value: float) -> bool:
    return value > rule.threshold if rule.above else value < rule.threshold


def _is_back(rule: AlertRule, value: float) -> bool:
    limit = rule.threshold if rule.resolve_at is None else rule.resolve_at
    return value <= limit if rule.above else value >= limit


def _gone(alert: Alert, now_s: float) -> Alert:
    """Its rule or its node was removed, or its workload has ended."""
    match alert.status:
        case AlertStatus.FIRING:
            summary = f"{alert.summary} (no longer measured)".strip()
            return msgspec.structs.replace(alert, status=AlertStatus.RESOLVED, since_s=now_s, summary=summary)
        case AlertStatus.RESOLVED if now_s - alert.since_s < RESOLVED_SHOWN_S:
            return alert
        case _:
            return msgspec.structs.replace(alert, status=AlertStatus.INACTIVE)
