"""Policies by name."""

import pytest

from suanli.domain.errors import UsageError
from suanli.policies import registry


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("", "priority+as-requested+best-fit"),
        ("fifo", "fifo+as-requested+best-fit"),
        ("spread", "priority+as-requested+spread"),
        ("sjf+first-fit", "sjf+as-requested+first-fit"),
        ("first-fit+SJF", "sjf+as-requested+first-fit"),
        (" srtf + as-requested ", "srtf+as-requested+best-fit"),
        ("priority+best-fit", "priority+as-requested+best-fit"),
    ],
)
def test_any_part_may_be_left_out(name: str, full: str) -> None:
    policy = registry.parse(name)
    assert policy.name == full
    assert registry.parse(policy.name) == policy


def test_an_unknown_part_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no policy part 'best-fti'") as caught:
        registry.parse("priority+best-fti")
    assert "best-fit" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_two_parts_of_one_kind_are_refused() -> None:
    with pytest.raises(UsageError, match="two parts of one kind: fifo and sjf"):
        registry.parse("fifo+sjf")


def test_every_part_has_a_name_of_its_own_and_one_line_that_says_what_it_does() -> None:
    parts = registry.parts()
    names = [part.name for part in parts]
    assert len(names) == len(set(names))
    assert {part.kind for part in parts} == {"order", "allocate", "place"}
    assert all(part.summary.endswith(".") and len(part.summary) <= 120 for part in parts)
