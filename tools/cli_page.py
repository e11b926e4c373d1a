"""Write docs/reference/cli.md from the app itself; a test holds the two together."""

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

from typer.main import get_command

from suanli.cli.main import COMMANDS, app
from suanli.cli.session import common_names

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"

INTRODUCTION = """\
# The command line

<!-- Written by `python tools/cli_page.py` from the commands themselves; don't edit by hand. -->

`suanli COMMAND --help` says the same as this page.

- **Where the controller is**: in the home folder, `--home` or `SUANLI_HOME`, by default `~/.suanli`, lies what the
  running controller noted of itself, and the token that lets you in. For a controller elsewhere set `SUANLI_URL` and
  `SUANLI_TOKEN`.
- **stdout is data, stderr all else.** On a terminal tables are drawn in colours (not with `--no-color` or `NO_COLOR`);
  elsewhere they are plain columns, the same ones, and nothing is cut off.
- **`-o json` and `-o yaml`** print what the API answers, and nothing else: no notes, no progress. An error is then a
  problem object (RFC 9457) on stderr in the same format, and stdout stays empty. `plan -o json` is described
  [on its own page](plan.md).
- **Nobody is asked where there is no terminal.** A command that would ask ends with 2 and names the option that
  answers.
- **Ctrl-C** ends `--watch` and `--follow` with 0, as they are meant to end that way, and `simulate`, `compare` and
  `demo`, which then tell what is known so far; a foreground `up` shuts down in order; anything else that it interrupts
  ends with 130.
- **`--timeout`** bounds each request (default: 30 s), and how long `--wait`, `--watch` and `--follow` go on.

| exit code | meaning |
|---:|---|
| 0 | done, or nothing to do |
| 1 | something unexpected, or unavailable; a failed check of `doctor`, a failed workload of `apply --wait` |
| 2 | the command or the declaration is wrong |
| 3 | `plan`: a workload can never fit this fleet; `foresee`: none of the numbers of replicas keeps the promise |
| 4 | `plan --fail-if-waiting`: something would wait |
| 5 | stale plan, or another conflict with what is there |
| 6 | not authorised |
| 124 | it took longer than allowed |
| 130 | interrupted before it was done |

Times are written `90s`, `5m`, `1.5h`. A replica of a service is named `chat/0`, all of them `chat`.
"""


def render() -> str:
    shelf = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    common = [p for p in shelf["ps"].params if p.name in common_names()]
    sections = [INTRODUCTION, "## Options of every command\n", *_options(common)]
    for heading, names in COMMANDS.items():
        sections += [f"\n## {heading}", *(line for name in names for line in _sections(name, shelf[name]))]
    return "\n".join(sections) + "\n"


def _sections(name: str, command: Any) -> Iterator[str]:
    """The section of a command, or of a group and of each of its own."""
    yield from _section(name, command)
    for inner, part in getattr(command, "commands", {}).items():
        yield from _section(f"{name} {inner}", part)


def _section(name: str, command: Any) -> Iterator[str]:
    usage = " ".join(p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument")
    yield f"\n### `suanli {name}{f' {usage}' if usage else ''}`\n"
    yield cleandoc(command.help)
    own = [p for p in command.params if not _is_common(p) and not p.hidden]
    if own:
        yield ""
        yield from _options(own)


def _is_common(parameter: Any) -> bool:
    """By name and flags: a command may have an option of that name with a meaning of its own."""
    return parameter.name in common_names() and parameter.metavar != "FILE"


def _options(parameters: list[Any]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for parameter in parameters:
        yield f"| {_flags(parameter)} | {_meaning(parameter)} |"


def _flags(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`"
    takes = "" if parameter.is_flag or parameter.count else f" {parameter.metavar or _choices(parameter)}"
    return ", ".join(f"`{flag}`" for flag in parameter.opts) + (f" `{takes.strip()}`" if takes else "")


def _choices(parameter: Any) -> str:
    choices = parameter.type_descriptor.choices
    return "\\|".join(choice.value for choice in choices) if choices else parameter.name.upper()


def _meaning(parameter: Any) -> str:
    text = parameter.help.replace("|", "\\|")
    if parameter.required and parameter.param_type_name == "option":
        text += " Required."
    if parameter.default not in (None, False, "", 0, []) and not parameter.required:
        text += f" Default: `{getattr(parameter.default, 'value', parameter.default)}`."
    return text


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
