"""The reference page says what the commands say of themselves."""

import runpy
from pathlib import Path

from suanli.cli.main import COMMANDS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_commands_say() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "cli_page.py"))
    assert tool["render"]() == PAGE, "renew it with: python tools/cli_page.py"


def test_every_command_is_on_the_page() -> None:
    assert [name for name in COMMANDS if f"## `suanli {name}" not in PAGE] == []
