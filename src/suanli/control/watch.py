"""Watching: alert rules over what was measured, and telling people of changes."""

from collections.abc import Callable, Sequence

from suanli.domain.alerts import Alert, AlertRule
from suanli.ports.notifier import Notifier
from suanli.ports.telemetry import Telemetry

LOOK_EVERY_S = 1.0

Evaluate = Callable[
    [Sequence[AlertRule], Telemetry, Sequence[Alert], float], tuple[Sequence[Alert], Sequence[Alert]]
]
"""(rules, telemetry, alerts before, now) to (alerts now, those that changed)."""


class Watch:
    """Looks at most once a second; keeps the alerts as they stand."""

    def __init__(
        self, rules: Sequence[AlertRule], telemetry: Telemetry, notifier: Notifier, evaluate: Evaluate
    ) -> None:
        self.alerts: Sequence[Alert] = ()
        self._rules = rules
        self._telemetry = telemetry
        self._notifier = notifier
        self._evaluate = evaluate
        self._next_s = 0.0

    def look(self, now_s: float) -> None:
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_EVERY_S
        self.alerts, changed = self._evaluate(self._rules, self._telemetry, self.alerts, now_s)
        for alert in changed:
            self._notifier.notify(alert)
