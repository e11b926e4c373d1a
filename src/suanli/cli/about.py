"""What needs no controller: `policies`, `schema`, `version`."""

from suanli.cli.render import Table
from suanli.cli.session import Session, command


@command
def policies(session: Session) -> None:
    """List the parts that a policy is made of."""
    import msgspec

    from suanli.policies.registry import DEFAULT_PARTS, parts

    rows = parts()
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
