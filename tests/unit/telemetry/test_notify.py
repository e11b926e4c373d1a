import threading
import time
from collections.abc import Iterator

import pytest
import stamina
import structlog

from suanli.domain.alerts import Alert, AlertStatus
from suanli.telemetry import notify
from suanli.telemetry.notify import LogNotifier, WebhookNotifier
from suanli.telemetry.webhook import Undelivered, Webhook

ALERT = Alert(rule="hot", subject="n1", status=AlertStatus.FIRING, value=0.97, since_s=1.0)
HOOK = Webhook("https://hooks.example.com/SECRET")


@pytest.fixture
def lines() -> Iterator[list]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture(autouse=True)
def no_waiting_between_attempts() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4):
        yield


def closed(notifier: WebhookNotifier) -> None:
    notifier.close(within_s=60.0)
    assert not notifier._thread.is_alive()


@pytest.mark.parametrize(
    ("alert", "level"),
    [
        (
            Alert(rule="r", subject="s", status=AlertStatus.FIRING, value=1, since_s=0, severity="critical"),
            "error",
        ),
        (Alert(rule="r", subject="s", status=AlertStatus.FIRING, value=1, since_s=0), "warning"),
        (
            Alert(
                rule="r", subject="s", status=AlertStatus.RESOLVED, value=1, since_s=0, severity="critical"
            ),
            "info",
        ),
    ],
)
def test_the_log_s_level_says_how_bad_it_is(lines: list, alert: Alert, level: str):
    LogNotifier().notify(alert)
    assert [(line["log_level"], line["rule"]) for line in lines] == [(level, "r")]


def test_a_receiver_that_comes_back_hears_of_it(monkeypatch: pytest.MonkeyPatch, lines: list):
    outcomes: list[Exception | None] = [
        ConnectionRefusedError(),
        Undelivered("it answered 503", retry=True),
        None,
    ]
    bodies: list[bytes] = []

    def post(_hook: Webhook, body: bytes) -> None:
        bodies.append(body)
        if outcome := outcomes.pop(0):
            raise outcome

    monkeypatch.setattr(notify, "post", post)
    notifier = WebhookNotifier(HOOK)
    notifier.notify(ALERT)
    closed(notifier)
    assert outcomes == []
    assert len(set(bodies)) == 1
    assert not [line for line in lines if line["event"] == "alert not delivered"]


@pytest.mark.parametrize(("retry", "attempts"), [(True, 4), (False, 1)])
def test_what_cannot_be_delivered_is_given_up_and_logged_without_the_address_s_secret(
    monkeypatch: pytest.MonkeyPatch, lines: list, retry: bool, attempts: int
):
    tried: list[bytes] = []

    def post(_hook: Webhook, body: bytes) -> None:
        tried.append(body)
        raise Undelivered("it said no", retry=retry)

    monkeypatch.setattr(notify, "post", post)
    notifier = WebhookNotifier(HOOK)
    notifier.notify(ALERT)
    closed(notifier)
    assert len(tried) == attempts
    (line,) = [line for line in lines if line["event"] == "alert not delivered"]
    assert (line["reason"], line["rule"], line["subject"]) == ("it said no", "hot", "n1")
    assert "SECRET" not in str(lines)


def test_while_the_receiver_hangs_nobody_waits_and_what_does_not_fit_is_dropped(
    monkeypatch: pytest.MonkeyPatch, lines: list
):
    let_go, delivered = threading.Event(), []

    def post(_hook: Webhook, body: bytes) -> None:
        let_go.wait(100)
        delivered.append(body)

    monkeypatch.setattr(notify, "post", post)
    notifier = WebhookNotifier(HOOK)
    before_s = time.monotonic()
    for _ in range(400):
        notifier.notify(ALERT)
    assert time.monotonic() - before_s < 50.0
    dropped = [line for line in lines if line["event"].startswith("alert dropped")]
    assert 400 - 256 - 1 <= len(dropped) <= 400 - 256
    let_go.set()
    closed(notifier)
    assert len(delivered) == 400 - len(dropped)


def test_closing_does_not_wait_for_a_receiver_that_hangs(monkeypatch: pytest.MonkeyPatch):
    let_go = threading.Event()
    monkeypatch.setattr(notify, "post", lambda _hook, _body: let_go.wait(100))
    notifier = WebhookNotifier(HOOK)
    notifier.notify(ALERT)
    before_s = time.monotonic()
    notifier.close(within_s=0.05)
    assert time.monotonic() - before_s < 50.0
    let_go.set()
