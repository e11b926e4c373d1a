"""Telling people."""

from typing import Protocol

from suanli.domain.alerts import Alert


class Notifier(Protocol):
    def notify(self, alert: Alert) -> None:
        """Hand over one change of an alert. Never raises and never blocks the loop for more than its own bound."""
        ...


class CollectingNotifier:
    """Keeps what it was told, in order."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def notify(self, alert: Alert) -> None:
        self.alerts.append(alert)
