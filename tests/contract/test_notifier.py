"""What any Notifier does, the webhook's against a real server."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
import structlog

from suanli.domain.alerts import Alert, AlertStatus
from suanli.ports.notifier import CollectingNotifier, Notifier
from suanli.telemetry.notify import FanOut, LogNotifier, WebhookNotifier
from suanli.telemetry.webhook import Webhook

Told = Callable[[], list[tuple[str, str, str, float]]]
"""(rule, subject, status, value) of what has arrived so far."""

ALERTS = [
    Alert(rule="hot", subject="n1", status=AlertStatus.FIRING, value=0.97, since_s=1.0, severity="critical"),
    Alert(rule="idle", subject="train", status=AlertStatus.FIRING, value=0.01, since_s=2.0, summary="Idle."),
    Alert(rule="hot", subject="n1", status=AlertStatus.RESOLVED, value=0.5, since_s=3.0),
]


def plain(alert: Alert) -> tuple[str, str, str, float]:
    return alert.rule, alert.subject, alert.status.value, alert.value


def collecting() -> Iterator[tuple[Notifier, Told]]:
    notifier = CollectingNotifier()
    yield notifier, lambda: [plain(alert) for alert in notifier.alerts]


def logging_() -> Iterator[tuple[Notifier, Told]]:
    with structlog.testing.capture_logs() as lines:
        yield (
            LogNotifier(),
            lambda: [
                (line["rule"], line["subject"], line["event"].removeprefix("alert "), line["value"])
                for line in lines
            ],
        )


def posting() -> Iterator[tuple[Notifier, Told]]:
    received: list[tuple[str, str, str, float]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            alert = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((alert["rule"], alert["subject"], alert["status"], alert["value"]))
            self.send_response(204)
            self.end_headers()

        def log_request(self, code: object = None, size: object = None) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    notifier = WebhookNotifier(Webhook(f"http://127.0.0.1:{server.server_port}/hook", allow_private=True))
    yield notifier, lambda: received
    notifier.close()
    server.shutdown()
    server.server_close()
    serving.join(timeout=60)


def fanning_out() -> Iterator[tuple[Notifier, Told]]:
    first, second = CollectingNotifier(), CollectingNotifier()

    def told() -> list[tuple[str, str, str, float]]:
        assert first.alerts == second.alerts
        return [plain(alert) for alert in first.alerts]

    yield FanOut([first, second]), told


@pytest.fixture(params=[collecting, logging_, posting, fanning_out], ids=lambda make: make.__name__)
def notifier(request: pytest.FixtureRequest) -> Iterator[tuple[Notifier, Told]]:
    yield from request.param()


def test_every_change_arrives_once_and_in_order(notifier: tuple[Notifier, Told]):
    tell, told = notifier
    for alert in ALERTS:
        tell.notify(alert)
    expected = [plain(alert) for alert in ALERTS]
    deadline_s = time.monotonic() + 60
    while told() != expected and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert told() == expected


def test_telling_never_holds_up_the_one_who_tells(notifier: tuple[Notifier, Told]):
    tell, _ = notifier
    before_s = time.monotonic()
    for number in range(100):
        tell.notify(msgspec.structs.replace(ALERTS[0], subject=f"n{number}"))
    assert time.monotonic() - before_s < 30.0
