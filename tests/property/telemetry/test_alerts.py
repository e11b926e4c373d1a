"""An alert's life under any story of values and gaps."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from suanli.domain.alerts import Alert, AlertRule, AlertStatus, AlertTest
from suanli.telemetry.alerts import evaluate

LEVEL, RESOLVE_AT = 0.9, 0.7
values = st.floats(0.0, 1.0) | st.none()
rules = st.builds(
    lambda above, for_s: AlertRule(
        name="r",
        metric="m",
        test=AlertTest.MEAN,
        threshold=LEVEL if above else 1 - LEVEL,
        resolve_at=RESOLVE_AT if above else 1 - RESOLVE_AT,
        above=above,
        window_s=0.5,
        for_s=for_s,
    ),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 3.0]),
)

ALLOWED = {
    ("inactive", "pending"),
    ("inactive", "firing"),
    ("pending", "inactive"),
    ("pending", "firing"),
    ("firing", "resolved"),
    ("resolved", "pending"),
    ("resolved", "firing"),
    ("resolved", "inactive"),
}


def lived(rule: AlertRule, story: list[float | None]) -> list[Alert]:
    """The alert after each second, values as seen by a rule that looks up."""
    alerts: list[Alert] = []
    for now_s, value in enumerate(story):
        shown = None if value is None else value if rule.above else 1 - value
        series = [] if shown is None else [(float(now_s), shown)]
        alerts.append(evaluate(rule, "s", series, alerts[-1] if alerts else None, float(now_s)))
    return alerts


@given(
    rules, st.lists(values, max_size=40), st.lists(st.floats(RESOLVE_AT + 1e-6, LEVEL - 1e-6), max_size=40)
)
def test_inside_the_band_nothing_starts_and_nothing_ends(rule, story, within):
    alerts = lived(rule, story + within)[len(story) :]
    statuses = [alert.status for alert in alerts]
    assert AlertStatus.PENDING not in statuses
    assert len(set(statuses)) <= 1


@given(rules, st.lists(values, min_size=1, max_size=60))
def test_every_change_is_one_of_the_life_cycle_and_is_dated(rule, story):
    alerts = lived(rule, story)
    for now_s, (before, after) in enumerate(itertools.pairwise(alerts), start=1):
        if before.status is after.status:
            assert after.since_s == before.since_s
        else:
            assert (before.status.value, after.status.value) in ALLOWED
            assert after.since_s == now_s


@given(rules, st.lists(values, min_size=1, max_size=40), st.integers(1, 40))
def test_silence_changes_nothing(rule, story, silent):
    alerts = lived(rule, story + [None] * silent)
    assert alerts[-1] == alerts[len(story) - 1]


@given(rules, st.lists(values, min_size=1, max_size=60))
def test_it_fires_only_after_the_excess_has_lasted(rule, story):
    for now_s, alert in enumerate(lived(rule, story)):
        if alert.status is AlertStatus.FIRING and alert.since_s == now_s:
            recent = [value for value in story[now_s - int(rule.for_s) : now_s + 1] if value is not None]
            assert all(value > LEVEL - 1e-9 for value in recent)
