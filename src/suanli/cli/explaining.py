"""`explain`: why something waits, or why it runs where it does; more with each `-v`."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from suanli.cli.client import path_of
from suanli.cli.errors import named
from suanli.cli.plans import would_run_lines
from suanli.cli.render import clean, clock, listed
from suanli.cli.services import standing
from suanli.cli.session import Session, command
from suanli.cli.views import is_final
from suanli.reports.quantities import duration

Explanation = Mapping[str, Any]

KNOWN_WELL = 8
"""Finished workloads from which on a forecast is more than a guess."""

REASONS, HISTORY = 1, 2
"""Levels of the API: what would make it run and why it is where it is; also what happened."""


@command
def explain(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A workload, or a replica such as chat/0.")],
    *,
    verbose: Annotated[
        int,
        typer.Option("--verbose", "-v", count=True, help="-v: what happened so far. -vv: all evidence."),
    ] = 0,
) -> None:
    """Say why something waits, and what would make it run.

    Of what runs: where, since when, why there, and what it waited for before.
    """
    body = session.connect().get(path_of("explain", name), level=HISTORY if verbose else REASONS)
    session.show(body, lambda: "\n\n".join(_paragraphs(body, verbose)))


def _paragraphs(body: Mapping[str, Any], verbose: int) -> Iterator[str]:
    """Of a service first how many replicas it has and wants; of its replicas those that have not ended, if any."""
    explanations = body["explanations"]
    if body["service"]:
        yield standing(body["service"])
        explanations = [each for each in explanations if not is_final(each)] or explanations
    yield from (told(each, verbose) for each in explanations)


def told(explanation: Explanation, verbose: int = 0) -> str:
    return "\n".join(clean(line) for line in _lines(explanation, verbose))


def _lines(e: Explanation, verbose: int) -> Iterator[str]:
    yield f"{e['key']} is {e['status']}: {e['reason'] + ': ' if e['reason'] else ''}{e['sentence']}"
    if verbose < 2:
        yield from _field("evidence", _evidence(e["evidence"]))
    else:
        yield from (line for name, value in e["evidence"].items() for line in _field(*named(name, value)))
        yield from _field("resource", e["resource"])
        yield from _field("tier", e["tier"] or "")
    yield from _field("will it help", e["advice"])
    yield from _field("starts", _foreseen(e["foresight"]))
    yield from would_run_lines(e["would_run_if"])
    yield from _here(e["here_because"])
    for index, line in enumerate(e["history"] if verbose else ()):
        actor = "" if line["actor"] == "controller" else f" ({line['actor']})"
        yield from _field("so far" if index == 0 else "", f"{clock(line['at_s'])}  {line['sentence']}{actor}")
    if verbose < 2:
        yield from _field("more", f"suanli explain {e['key']} {'-vv' if verbose else '-v'}")


def _evidence(evidence: Mapping[str, Any]) -> str:
    return "; ".join(" ".join(named(name, value)) for name, value in evidence.items())


def _foreseen(seen: Mapping[str, Any] | None) -> str:
    """When, between when and when in eight futures of ten, and how much is known about it."""
    if seen is None:
        return ""
    if seen["start_s"] is None:
        text = f"not within {duration(seen['beyond_s'])}, in most futures"
    else:
        late = duration(seen["latest_s"]) if seen["latest_s"] is not None else "much later"
        band = f"80 %: {duration(seen['earliest_s'])} to {late}"
        text = f"in about {duration(seen['start_s'])} ({band})"
    if seen["known"] < KNOWN_WELL:
        text += "; a guess, for little has finished here yet"
    return text


def _here(here: Mapping[str, Any] | None) -> Iterator[str]:
    if here is None:
        return
    decided = f", decided at {clock(here['decided_s'])}" if here["decided_s"] else ""
    by = f" by {here['policy']}" if here["policy"] else ""
    yield from _field("where", f"{listed(here['nodes'], 8)}{by}{decided}")
    if not here["waited_for"]:
        yield from _field("waited", f"{duration(here['waited_s'])}")
    for index, past in enumerate(here["waited_for"]):
        waited = f"waited {duration(here['waited_s'])}" if index == 0 else ""
        yield from _field(waited, f"{clock(past['since_s'])}  {past['reason']}: {past['sentence']}")


def _field(name: str, value: str) -> Iterator[str]:
    """Nothing where there is no value; continued where there is no name."""
    if value:
        yield f"  {name:<17} {value}"
