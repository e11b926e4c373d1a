"""Tells people of alerts: in the log, and to webhooks in the background."""

import queue
import threading
from collections.abc import Sequence
from http.client import HTTPException

import msgspec
import stamina
import structlog

from suanli.domain.alerts import Alert, AlertStatus
from suanli.ports.notifier import Notifier
from suanli.telemetry.webhook import Undelivered, Webhook, post

_QUEUED_MAX = 256
_ATTEMPTS_MAX = 6
_TRYING_MAX_S = 30.0
_WAIT_FIRST_S = 0.5
_WAIT_MAX_S = 8.0


class LogNotifier:
    """One line per change: an error for a critical alert, a warning for others, information once resolved."""

    def notify(self, alert: Alert) -> None:
        log = structlog.get_logger("suanli.alerts")
        say = log.info
        if alert.status is AlertStatus.FIRING:
            say = log.error if alert.severity == "critical" else log.warning
        say(
            f"alert {alert.status.value}",
            rule=alert.rule,
            subject=alert.subject,
            value=alert.value,
            summary=alert.summary,
        )


class FanOut:
    """Tells each of several, in order."""

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = tuple(notifiers)

    def notify(self, alert: Alert) -> None:
        for notifier in self._notifiers:
            notifier.notify(alert)


class WebhookNotifier:
    """Posts each alert as JSON, in order, from a thread of its own, at most six times within half a minute.

    The queue is bounded: while the receiver is down, what doesn't fit is dropped and said so in the log.
    """

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._queue: queue.Queue[Alert | None] = queue.Queue(_QUEUED_MAX)
        self._thread = threading.Thread(target=self._deliver_all, name="suanli-webhook", daemon=True)
        self._thread.start()

    def notify(self, alert: Alert) -> None:
        try:
            self._queue.put_nowait(alert)
        except queue.Full:
            self._warn("alert dropped, too many are waiting", alert)

    def close(self, within_s: float = 5.0) -> None:
        """Deliver what is queued, and give up on it after that long."""
        try:
            self._queue.put(None, timeout=within_s)
        except queue.Full:
            return
        self._thread.join(within_s)

    def _deliver_all(self) -> None:
        while (alert := self._queue.get()) is not None:
            try:
                self._deliver(msgspec.json.encode(alert))
            except (OSError, HTTPException, Undelivered) as error:
                self._warn("alert not delivered", alert, reason=str(error) or type(error).__name__)

    def _deliver(self, body: bytes) -> None:
        attempts = stamina.retry_context(
            _is_worth_retrying,
            attempts=_ATTEMPTS_MAX,
            timeout=_TRYING_MAX_S,
            wait_initial=_WAIT_FIRST_S,
            wait_max=_WAIT_MAX_S,
        )
        for attempt in attempts:
            with attempt:
                post(self._webhook, body)

    def _warn(self, event: str, alert: Alert, **fields: str) -> None:
        log = structlog.get_logger("suanli.alerts")
        log.warning(event, webhook=self._webhook.shown, rule=alert.rule, subject=alert.subject, **fields)


def _is_worth_retrying(error: Exception) -> bool:
    return error.retry if isinstance(error, Undelivered) else isinstance(error, OSError | HTTPException)
