"""What needs no controller: `policies`, `schema`, `version`."""

import re
from importlib import resources
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from suanli.cli.render import Table
from suanli.cli.session import Session, command

if TYPE_CHECKING:
    from suanli.policies.registry import Part


@command
def policies(
    session: Session,
    *,
    explain: Annotated[
        str, typer.Option("--explain", metavar="NAME", help="Tell of a part, or of all parts of a policy.")
    ] = "",
) -> None:
    """List the parts that a policy is made of."""
    import msgspec

    from suanli.policies.registry import DEFAULT_PARTS, parse, parts

    rows = parts()
    if explain:
        policy = parse(explain)
        asked = {name.strip() for name in explain.lower().split("+")}
        named = [name for name in policy.name.split("+") if name in asked]
        of_name = {part.name: part for part in rows}
        told = [(of_name[name], explanation(name)) for name in named]
        data = {
            "policy": policy.name,
            "parts": [{**msgspec.to_builtins(part), **said._asdict()} for part, said in told],
        }
        session.show(data, lambda: "\n\n".join(_in_words(part, said) for part, said in told))
        return
    data = {"policies": [msgspec.to_builtins(part) for part in rows], "default": "+".join(DEFAULT_PARTS)}
    session.show(
        data, lambda: Table(["KIND", "NAME", "WHAT IT DOES"], [[p.kind, p.name, p.summary] for p in rows])
    )


@command
def schema(session: Session) -> None:
    """Print the JSON Schema of all that can be declared."""
    import json

    from suanli import spec

    found = spec.schema()
    session.show(found, lambda: json.dumps(found, ensure_ascii=False, indent=2))


@command
def version(session: Session) -> None:
    """Print the versions of Suanli, Python and Ray."""
    import platform
    from importlib import metadata

    from suanli import __version__

    data = {"suanli": __version__, "python": platform.python_version(), "ray": metadata.version("ray")}
    session.show(data, lambda: "\n".join(f"{name} {number}" for name, number in data.items()))


class Explanation(NamedTuple):
    """What is said of a part, and what holds for all of its section."""

    text: str
    section: str
    of_all: str


def explanation(name: str) -> Explanation:
    """What `explained.md` says of a part that is registered."""
    page = resources.files("suanli.policies").joinpath("explained.md").read_text(encoding="utf-8")
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        introduction, *parts = re.split(r"^### ", section, flags=re.MULTILINE)
        title, of_all = introduction.split("\n", 1)
        for heading, text in (part.split("\n", 1) for part in parts):
            if f"`{name}`" in heading:
                return Explanation(text.strip(), title, of_all.strip())
    raise KeyError(name)


def _in_words(part: "Part", said: Explanation) -> str:
    told = f"{part.kind}: {part.name}\n{said.text}"
    return f"{told}\n\n{said.section}\n{said.of_all}" if said.of_all else told
