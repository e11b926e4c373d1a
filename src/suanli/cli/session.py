"""What every command has in common: its options, where its output goes, and how its errors end it."""

import enum
import functools
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanli.cli import errors
from suanli.domain.errors import SuanliError

if TYPE_CHECKING:
    from suanli.cli.client import Client
    from suanli.cli.render import Table

DEFAULT_PORT = 8100
"""Where `up` listens unless told otherwise."""

_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|)")


class Format(enum.StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def seconds(text: str) -> float:
    """`90`, `90s`, `5m`, `1.5h` in seconds."""
    found = _SPAN.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise typer.BadParameter("expected a time such as 90s or 5m")
    return float(found[1]) * _SECONDS[found[2]]


def share(text: str) -> float:
    """`5%` or `0.05`."""
    from suanli.spec.quantities import percent

    try:
        return percent(text if "%" in text else float(text))
    except ValueError as error:
        raise typer.BadParameter("expected a share such as 5% or 0.05") from error


def size(text: str) -> int:
    """`200GiB` or `2TB` in bytes, of which a mere number is so many."""
    from suanli.spec.quantities import memory

    try:
        return memory(f"{text}B" if text.isdecimal() else text)
    except ValueError as error:
        raise typer.BadParameter("expected a size with its unit such as 200GiB or 2TB") from error


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run of a command. stdout is for data, stderr for all else."""

    home: Path = Path("~/.suanli")
    output: Format = Format.TABLE
    quiet: bool = False
    no_color: bool = False
    timeout_s: float | None = None

    @property
    def is_machine(self) -> bool:
        """A program reads the output: then stderr holds a problem object or nothing."""
        return self.output is not Format.TABLE

    @property
    def is_terminal(self) -> bool:
        return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def colors(self) -> bool:
        return self.is_terminal and not self.no_color and not os.environ.get("NO_COLOR")

    @property
    def can_ask(self) -> bool:
        return sys.stdin.isatty() and sys.stderr.isatty() and not self.is_machine

    def connect(self) -> "Client":
        from suanli.cli.client import connect

        return connect(self.home, self.timeout_s)

    def show(self, data: Any, table: "Callable[[], Table | str]") -> None:
        """Print `data` as JSON or YAML, or else what `table` makes of it."""
        if self.is_machine:
            sys.stdout.write(_encoded(data, self.output))
            return
        drawn = table()
        if isinstance(drawn, str):
            sys.stdout.write(drawn if drawn.endswith("\n") or not drawn else drawn + "\n")
        else:
            drawn.print(self)

    def note(self, text: str) -> None:
        """Tell the person something that is not the data."""
        if not self.quiet and not self.is_machine:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def fail(self, error: SuanliError) -> None:
        text = (
            _encoded(errors.problem_of(error), self.output)
            if self.is_machine
            else errors.as_text(error) + "\n"
        )
        sys.stdout.flush()
        sys.stderr.write(text)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A command from a function of a Session and its own parameters: adds the common options, and ends errors well.

    A parameter that the function declares itself takes the place of the common one of that name.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = [p for p in _common_parameters() if p.name not in {q.name for q in own}]

    @functools.wraps(function)
    def run(**given: Any) -> None:
        options = {parameter.name: given.pop(parameter.name) for parameter in common}
        options["timeout_s"] = options.pop("timeout", None)
        if "home" in options:
            options["home"] = options["home"].expanduser().absolute()
        session = Session(**options)
        try:
            function(session, **given)
            sys.stdout.flush()
        except SuanliError as error:
            session.fail(error)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # whoever read has had enough, as in `suanli ps | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None

    run.__signature__ = inspect.Signature([*own, *common])  # pyright: ignore[reportAttributeAccessIssue]
    run.__annotations__ = {p.name: p.annotation for p in (*own, *common)}
    return run


def _common(
    home: Annotated[
        Path,
        typer.Option(
            "--home", envvar="SUANLI_HOME", help="Folder of the controller: its database, token and logs."
        ),
    ] = Path("~/.suanli"),
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print the answer.")] = Format.TABLE,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but the answer and errors.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", parser=seconds, metavar="TIME", help="Give up after this long, as in 90s or 5m."
        ),
    ] = None,
) -> None:
    """The options of every command, as a signature."""


def common_names() -> frozenset[str]:
    """Names of the parameters that every command has."""
    return frozenset(parameter.name for parameter in _common_parameters())


def _common_parameters() -> list[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [p.replace(kind=keyword) for p in inspect.signature(_common).parameters.values()]


def _encoded(data: Any, output: Format) -> str:
    if output is Format.JSON:
        return json.dumps(data, ensure_ascii=False, indent=2, default=str) + "\n"
    import yaml

    return yaml.safe_dump(
        json.loads(json.dumps(data, default=str)), sort_keys=False, allow_unicode=True, width=120
    )
