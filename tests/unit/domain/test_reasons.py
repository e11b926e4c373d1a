"""The codes of reasons: their order, their tiers, and what helps."""

import pytest

from suanli.domain.reasons import ReasonCode, Tier, code_of, reason

# token: (will waiting help, will preemption help), where nothing narrows them
HELPS = {
    "Held Invalid Unauthorised": (False, False),
    "DependsOn BeforeStartTime ModelNotReady": (True, False),
    "NoSuchAccelerator ExceedsFleet ExceedsQuota ConstraintUnsatisfiable": (False, False),
    "QuotaUsed ResourcesBusy Fragmented": (True, True),
    "BehindHigherPriority BehindFairShare ReservedFor NodeUnhealthy": (True, False),
    "BudgetExhausted PowerCap": (True, True),
    "LoadingModel WaitingForGang Starting": (True, False),
}


def test_the_codes_stand_in_their_precedence_and_say_what_helps() -> None:
    expected = [(token, helps) for tokens, helps in HELPS.items() for token in tokens.split()]
    assert [(c.token, (c.will_waiting_help, c.will_preemption_help)) for c in ReasonCode] == expected


def test_tiers_follow_each_other() -> None:
    tiers = [code.tier for code in ReasonCode]
    assert tiers == sorted(tiers)
    assert set(tiers) == set(Tier)


@pytest.mark.parametrize("code", list(ReasonCode))
def test_a_reason_has_the_bits_of_its_code_unless_they_are_narrowed(code: ReasonCode) -> None:
    plain = reason(code, "cpus", {"asked": 2}, free=1)
    assert (plain.token, plain.resource, plain.evidence) == (code.token, "cpus", {"asked": 2, "free": 1})
    assert (plain.will_waiting_help, plain.will_preemption_help) == (
        code.will_waiting_help,
        code.will_preemption_help,
    )
    narrowed = reason(code, waiting_helps=False, preemption_helps=False)
    assert (narrowed.will_waiting_help, narrowed.will_preemption_help) == (False, False)
    assert code_of(code.token) is code


def test_an_unknown_token_is_a_bug_and_says_so() -> None:
    with pytest.raises(KeyError):
        code_of("Whim")
