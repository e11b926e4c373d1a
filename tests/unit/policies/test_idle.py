"""When unused work is warned of or given back, to the instant."""

import pytest
from tests.building import running, workload

from suanli.domain.workload import IdleRule
from suanli.policies.idle import WARN_AGAIN_AFTER_S, IdleVerdict, judge

NEVER = float("-inf")


def verdict(
    used: float | None, since_s: float | None, now_s: float, then: str = "stop", warned_s: float = NEVER
) -> IdleVerdict:
    record = running(workload("w", idle=IdleRule(below=0.05, for_s=1800.0, then=then)), "n0")
    return judge(record, {} if used is None else {"w": used}, since_s, warned_s, now_s)


def test_the_clock_starts_at_the_first_idle_instant() -> None:
    assert verdict(0.049, None, 100.0) == IdleVerdict(100.0)


@pytest.mark.parametrize("then", ["warn", "stop"])
def test_it_acts_at_the_exact_instant(then: str) -> None:
    assert verdict(0.0, 100.0, 1899.999, then).act == ""
    assert verdict(0.0, 100.0, 1900.0, then) == IdleVerdict(100.0, then)


def test_being_used_enough_stops_the_clock() -> None:
    assert verdict(0.05, 100.0, 9e9) == IdleVerdict(None)


def test_what_is_not_measured_is_not_judged_and_its_clock_starts_anew() -> None:
    """It may have worked all the while that nobody looked."""
    assert verdict(None, 100.0, 9e9) == IdleVerdict(None)


def test_without_a_rule_nothing_is_ever_idle() -> None:
    assert judge(running(workload("w"), "n0"), {"w": 0.0}, 0.0, NEVER, 9e9) == IdleVerdict(None)


def test_a_warning_is_repeated_each_hour_only() -> None:
    assert verdict(0.0, 0.0, 5000.0, "warn", warned_s=5000.0 - WARN_AGAIN_AFTER_S + 1).act == ""
    assert verdict(0.0, 0.0, 5000.0, "warn", warned_s=5000.0 - WARN_AGAIN_AFTER_S).act == "warn"
