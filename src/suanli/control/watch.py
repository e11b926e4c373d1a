"""Watching: alert rules over what was measured, and telling people of changes."""

from collections.abc import Collection, Sequence
from typing import Protocol

from suanli.domain.alerts import Alert, AlertRule
from suanli.ports.notifier import Notifier
from suanli.ports.telemetry import Telemetry

LOOK_EVERY_S = 1.0


class Evaluate(Protocol):
    def __call__(
        self,
        rules: Sequence[AlertRule],
        telemetry: Telemetry,
        previous: Sequence[Alert],
        now_s: float,
        *,
        nodes: Collection[str] | None,
        workloads: Collection[str] | None,
    ) -> tuple[Sequence[Alert], Sequence[Alert]]:
        """The alerts now, and those that changed. `nodes` and `workloads` are what there is to watch."""
        ...


class Watch:
    """Looks at most once a second; keeps the alerts as they stand. Of two rules of one name the later holds."""

    def __init__(
        self, rules: Sequence[AlertRule], telemetry: Telemetry, notifier: Notifier, evaluate: Evaluate
    ) -> None:
        self.alerts: Sequence[Alert] = ()
        self._rules = {rule.name: rule for rule in rules}
        self._telemetry = telemetry
        self._notifier = notifier
        self._evaluate = evaluate
        self._next_s = 0.0

    def add(self, rules: Sequence[AlertRule]) -> None:
        self._rules = {**self._rules, **{rule.name: rule for rule in rules}}

    def look(self, now_s: float, nodes: Collection[str], workloads: Collection[str]) -> None:
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_EVERY_S
        rules = tuple(self._rules.values())
        self.alerts, changed = self._evaluate(
            rules, self._telemetry, self.alerts, now_s, nodes=nodes, workloads=workloads
        )
        for alert in changed:
            self._notifier.notify(alert)
