"""What is said of the parts of policies."""

import re

import pytest

from suanli.cli.about import explanation
from suanli.policies.registry import parts


@pytest.mark.parametrize("name", [part.name for part in parts()])
def test_of_every_part_it_is_said_what_it_costs_and_when_to_choose_it(name: str) -> None:
    said = explanation(name)
    whole = f"{said.text}\n{said.of_all}"
    assert re.search(r"\bO\([^)]+\)", whole)
    assert re.search(r"Choose|The default|Only a baseline|to\s+compare\s+with|Which one\?", whole)


def test_paragraphs_end_where_the_next_begins() -> None:
    assert "###" not in explanation("fifo").text
    assert explanation("max-min").of_all == explanation("soonest-end").of_all
    assert explanation("max-min-agnostic").text == explanation("max-min").text
