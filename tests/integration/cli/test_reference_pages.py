"""The reference page and the list of commands say what the commands say of themselves."""

import runpy
from pathlib import Path

import pytest
from typer.main import get_command

from suanli.cli.main import COMMANDS, app

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "cli.md"

LINES = {name: line for part in COMMANDS.values() for name, (_, line) in part.items()}


def test_the_page_is_what_the_commands_say() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "cli_page.py"))
    assert tool["render"]() == PAGE.read_text(encoding="utf-8"), "renew it with: python tools/cli_page.py"


@pytest.mark.parametrize("name", LINES)
def test_a_line_of_the_list_is_the_first_of_the_commands_help(name: str) -> None:
    command = get_command(app).commands[name]  # pyright: ignore[reportAttributeAccessIssue]
    assert command.help.splitlines()[0] == LINES[name]
    assert f"### `suanli {name}" in PAGE.read_text(encoding="utf-8")
