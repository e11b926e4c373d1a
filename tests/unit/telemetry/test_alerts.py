import msgspec
import pytest

from suanli.domain.alerts import Alert, AlertRule, AlertStatus, AlertTest
from suanli.ports.scripted_telemetry import ScriptedTelemetry
from suanli.telemetry.alerts import RESOLVED_SHOWN_S, evaluate, evaluate_all

INACTIVE, PENDING = AlertStatus.INACTIVE, AlertStatus.PENDING
FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED

HOT = AlertRule(
    name="hot",
    metric="cpu_fraction",
    test=AlertTest.MEAN,
    threshold=0.9,
    resolve_at=0.7,
    window_s=10.0,
    for_s=5.0,
    severity="critical",
    summary="It is hot.",
)


def told(rule: AlertRule, *steps: tuple[float, float | None]) -> list[tuple[AlertStatus, float]]:
    """(status, since) after each step of an instant and the value measured then, None: nothing measured."""
    alert: Alert | None = None
    story = []
    for now_s, value in steps:
        series = [] if value is None else [(now_s, value)]
        alert = evaluate(rule, "n1", series, alert, now_s)
        story.append((alert.status, alert.since_s))
    return story


def test_it_waits_then_fires_then_resolves_only_past_the_lower_mark():
    assert told(HOT, (0, 0.5), (1, 0.95), (5, 0.95), (6, 0.95), (20, 0.8), (21, 0.71), (22, 0.7)) == [
        (INACTIVE, 0),
        (PENDING, 1),
        (PENDING, 1),
        (FIRING, 6),
        (FIRING, 6),
        (FIRING, 6),
        (RESOLVED, 22),
    ]


def test_a_short_excess_never_fires():
    assert told(HOT, (0, 0.95), (3, 0.5), (4, 0.95), (8, 0.95)) == [
        (PENDING, 0),
        (INACTIVE, 3),
        (PENDING, 4),
        (PENDING, 4),
    ]


def test_without_a_wait_it_fires_at_once():
    rule = msgspec.structs.replace(HOT, for_s=0.0)
    assert told(rule, (3, 0.95)) == [(FIRING, 3)]


def test_the_threshold_itself_is_not_beyond_it():
    rule = msgspec.structs.replace(HOT, for_s=0.0, resolve_at=None)
    assert told(rule, (0, 0.9), (1, 0.91), (2, 0.9)) == [(INACTIVE, 0), (FIRING, 1), (RESOLVED, 2)]


def test_a_rule_may_watch_for_too_little():
    idle = msgspec.structs.replace(HOT, above=False, threshold=0.05, resolve_at=0.15, for_s=0.0)
    assert told(idle, (0, 0.05), (1, 0.04), (2, 0.10), (3, 0.15)) == [
        (INACTIVE, 0),
        (FIRING, 1),
        (FIRING, 1),
        (RESOLVED, 3),
    ]


@pytest.mark.parametrize("status", list(AlertStatus))
def test_missing_data_holds_every_state(status: AlertStatus):
    before = Alert(
        rule="hot",
        subject="n1",
        status=status,
        value=0.8,
        since_s=1.0,
        severity="critical",
        summary="It is hot.",
    )
    assert evaluate(HOT, "n1", [], before, 500.0) == before
    assert evaluate(HOT, "n1", [(0.0, 0.1)], before, 500.0) == before  # older than the window


def test_too_few_points_are_missing_data_too():
    firing = Alert(rule="hot", subject="n1", status=FIRING, value=9.0, since_s=1.0)
    rule = msgspec.structs.replace(HOT, test=AlertTest.VARIANCE, severity="warning", summary="")
    assert evaluate(rule, "n1", [(10.0, 0.0)], firing, 10.0) == firing


def test_a_resolved_alert_is_shown_for_a_while_and_may_fire_again():
    rule = msgspec.structs.replace(HOT, for_s=0.0)
    shown_until = 2 + RESOLVED_SHOWN_S
    assert told(rule, (1, 0.95), (2, 0.5), (3, 0.5), (4, 0.95), (5, 0.5)) == [
        (FIRING, 1),
        (RESOLVED, 2),
        (RESOLVED, 2),
        (FIRING, 4),
        (RESOLVED, 5),
    ]
    assert told(rule, (1, 0.95), (2, 0.5), (shown_until, 0.5))[-1] == (INACTIVE, shown_until)


@pytest.mark.parametrize(
    ("test", "value"),
    [(AlertTest.MEAN, 3.0), (AlertTest.VARIANCE, 8 / 3), (AlertTest.RATE, 2.0), (AlertTest.ZSCORE, 3.0)],
)
def test_the_alert_tells_the_number_that_was_compared(test: AlertTest, value: float):
    rule = msgspec.structs.replace(HOT, test=test, threshold=100.0, half_life_s=1.0, resolve_at=None)
    series = [(-100.0, 1e6), (0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (99.0, -1e6)]
    alert = evaluate(
        rule, "n1", series, None, 2.0
    )  # neither the past nor the future beyond the window counts
    assert alert.value == pytest.approx(value)


def test_severity_and_summary_follow_the_rule():
    alert = evaluate(HOT, "n1", [(0.0, 0.95)], None, 0.0)
    assert (alert.rule, alert.subject, alert.severity, alert.summary) == (
        "hot",
        "n1",
        "critical",
        "It is hot.",
    )


def heard(rules: list[AlertRule], telemetry: ScriptedTelemetry, alerts: tuple[Alert, ...], now_s: float):
    """All alerts, and those that people hear of, where nodes `cool` and `hot` and the workload `train` are watched."""
    telemetry.record(now_s, [], [])
    return evaluate_all(rules, telemetry, alerts, now_s, nodes={"cool", "hot"}, workloads={"train"})


def test_every_subject_has_its_own_alert_and_people_hear_of_firing_and_resolved():
    telemetry, rules = ScriptedTelemetry(), [msgspec.structs.replace(HOT, window_s=1.0)]
    telemetry.set_node("cool", cpu_fraction=0.1)
    telemetry.set_node("hot", cpu_fraction=0.99)
    told_of: list[tuple[float, str, AlertStatus]] = []
    alerts: tuple[Alert, ...] = ()
    for now_s in range(0, 30, 2):
        if now_s == 20:
            telemetry.set_node("hot", cpu_fraction=0.1)
        alerts, changed = heard(rules, telemetry, alerts, float(now_s))
        told_of += [(now_s, alert.subject, alert.status) for alert in changed]
    assert told_of == [(6, "hot", FIRING), (20, "hot", RESOLVED)]
    assert [(alert.subject, alert.status) for alert in alerts] == [("hot", RESOLVED)]


def test_pending_alerts_are_listed_but_nobody_is_told():
    telemetry = ScriptedTelemetry()
    telemetry.set_node("hot", cpu_fraction=0.99)
    alerts, changed = heard([HOT], telemetry, (), 0.0)
    assert [alert.status for alert in alerts] == [PENDING]
    assert changed == ()


def firing(rule: AlertRule, subject: str) -> Alert:
    return Alert(
        rule=rule.name,
        subject=subject,
        status=FIRING,
        value=1.0,
        since_s=0.0,
        severity=rule.severity,
        summary=rule.summary,
    )


def test_a_controller_that_has_just_started_and_heard_nothing_yet_holds_what_it_was_left():
    left = (firing(HOT, "hot"),)
    assert heard([HOT], ScriptedTelemetry(), left, 1e6) == (left, ())


@pytest.mark.parametrize(("rule", "subject"), [("hot", "removed-node"), ("removed-rule", "hot")])
def test_an_alert_whose_rule_or_subject_is_gone_resolves_aloud(rule: str, subject: str):
    left = firing(msgspec.structs.replace(HOT, name=rule), subject)
    alerts, changed = heard([HOT], ScriptedTelemetry(), (left,), 50.0)
    assert changed == alerts
    assert [(a.status, a.since_s, a.summary) for a in alerts] == [
        (RESOLVED, 50.0, "It is hot. (no longer measured)")
    ]
    assert heard([HOT], ScriptedTelemetry(), alerts, 60.0) == (alerts, ())
    assert heard([HOT], ScriptedTelemetry(), alerts, 50.0 + RESOLVED_SHOWN_S) == ((), ())


def test_a_pending_alert_whose_subject_is_gone_just_goes():
    pending = Alert(rule="hot", subject="removed-node", status=PENDING, value=1.0, since_s=0.0)
    assert heard([HOT], ScriptedTelemetry(), (pending,), 50.0) == ((), ())


def test_a_workload_that_has_ended_is_watched_no_more_whatever_the_history_still_holds():
    telemetry = ScriptedTelemetry()
    idle = msgspec.structs.replace(
        HOT,
        name="idle",
        metric="held_accelerator_fraction",
        above=False,
        threshold=0.05,
        resolve_at=0.1,
        for_s=0.0,
    )
    for key in ("train", "ended", "hot"):
        telemetry.set_workload(key, held_accelerator_fraction=0.0)
    _, changed = heard([idle], telemetry, (firing(idle, "ended"),), 0.0)
    assert [(alert.subject, alert.status) for alert in changed] == [("ended", RESOLVED), ("train", FIRING)]


def test_where_nobody_says_what_is_there_silence_is_held():
    left = (firing(HOT, "unheard-of"),)
    assert evaluate_all([HOT], ScriptedTelemetry(), left, 1e6) == (left, ())
