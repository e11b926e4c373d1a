"""The alert rules that are there without being declared."""

import functools
from collections.abc import Sequence
from importlib import resources

from suanli.domain.alerts import AlertRule
from suanli.spec import Source, read

_FILE = "default_alerts.yaml"


def rules_with(declared: Sequence[AlertRule]) -> tuple[AlertRule, ...]:
    """The declared rules, and those shipped whose names they don't take."""
    taken = {rule.name for rule in declared}
    return (*declared, *(rule for rule in default_rules() if rule.name not in taken))


@functools.cache
def default_rules() -> tuple[AlertRule, ...]:
    """Those of `default_alerts.yaml`."""
    text = resources.files(__package__ or "").joinpath(_FILE).read_text(encoding="utf-8")
    return read([Source(_FILE, text)], lambda own: _NoAccelerators(), now_s=0.0).alerts


class _NoAccelerators:
    """Alert rules name none."""

    def lookup(self, name: str, /) -> None:
        return None

    def suggest(self, name: str, /) -> Sequence[str]:
        return ()
