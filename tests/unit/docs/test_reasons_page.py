"""The page on reasons names every one of them, with its two bits, in the order of precedence."""

import re
from pathlib import Path

from suanli.domain.reasons import ReasonCode

PAGE = Path(__file__).parents[3] / "docs" / "reasons.md"
NARROWED = {"QuotaUsed": (True, False)}  # ending other teams' work would not raise the quota


def test_the_page_lists_every_reason_in_order_of_precedence_with_its_bits() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \| (yes|no) \|", PAGE.read_text(), re.MULTILINE)
    expected = [
        (code.token, *NARROWED.get(code.token, (code.will_waiting_help, code.will_preemption_help)))
        for code in ReasonCode
    ]
    assert [(token, w == "yes", p == "yes") for token, w, p in rows] == expected
