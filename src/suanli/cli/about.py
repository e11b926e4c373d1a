"""What needs no controller: `policies`, `schema`, `version`."""

import re
from importlib import resources
from typing import Annotated

import typer

from suanli.cli.render import Table
from suanli.cli.session import Session, command


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
        told = {part.name: (part, _paragraph(part.name)) for part in rows}
        chosen = [told[name] for name in named]
        data = {
            "policy": policy.name,
            "parts": [{**msgspec.to_builtins(part), "text": text} for part, text in chosen],
        }
        session.show(data, lambda: "\n\n".join(f"{p.kind}: {p.name}\n{text}" for p, text in chosen))
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


def _paragraph(name: str) -> str:
    """What `explained.md` says of a part."""
    text = resources.files("suanli.policies").joinpath("explained.md").read_text(encoding="utf-8")
    found = re.search(
        rf"^### [^\n]*`{re.escape(name)}`[^\n]*\n\n(.*?)(?=\n##|\Z)", text, re.DOTALL | re.MULTILINE
    )
    return found[1].strip() if found else ""
