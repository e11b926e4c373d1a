"""`suanli keys` on a running controller."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]


def test_a_secret_is_alone_on_stdout_so_that_a_script_can_keep_it(on_lab: Cli) -> None:
    made = on_lab("keys", "create", "ci", "--team", "red", "--service", "chat", "--rps", "10",
                  "--tokens-per-minute", "20k", "--budget", "5/d", "--expires", "30d")  # fmt: skip
    assert re.fullmatch(r"sk-suanli-[\w-]{43}\n", made.stdout)
    assert "10 requests/s, 20,000 tokens/min, $5 a day" in made.stderr
    line = next(line for line in on_lab("keys", "list").stdout.splitlines() if line.startswith("ci "))
    assert re.search(r"^ci +red +active +chat +10 requests/s, 20,000 tokens/min, \$5 a day", line)
    assert made.stdout.strip() not in line


def test_limits_are_set_and_lifted(on_lab: Cli) -> None:
    on_lab("keys", "create", "tool", "--rps", "2.5")
    shown = json.loads(
        on_lab("keys", "set", "tool", "--rps", "none", "--budget", "$0.5/h", "-o", "json").stdout
    )
    assert (shown["requests_per_s"], shown["budget_usd"], shown["budget_period_s"]) == (None, 0.5, 3600.0)
    assert on_lab("keys", "set", "tool").exit_code == 2
    assert json.loads(on_lab("keys", "show", "tool", "-o", "json").stdout) == shown


def test_a_revoked_key_says_so_and_its_usage_can_still_be_asked_for(on_lab: Cli) -> None:
    on_lab("keys", "create", "gone")
    assert on_lab("keys", "revoke", "gone").stdout == "gone opens nothing any more\n"
    assert re.search(r"^gone +default +revoked", on_lab("keys", "list").stdout, re.MULTILINE)
    assert on_lab("keys", "usage", "gone").stdout == "Nothing was used.\n"
    assert on_lab("keys", "revoke", "gone").exit_code == 5


@pytest.mark.parametrize(
    "words",
    [
        ["create", "x", "--rps", "0"],
        ["create", "x", "--rps", "fast"],
        ["create", "x", "--budget", "5/year"],
        ["create", "x", "--budget", "/d"],
        ["create", "x", "--expires", "soon"],
        ["usage", "--by", "century"],
        ["show", "nobody"],
    ],
)
def test_2_what_is_no_quantity_or_no_key(on_lab: Cli, words: list[str]) -> None:
    assert on_lab("keys", *words).exit_code == 2
