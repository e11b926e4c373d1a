"""`keys`: who may ask services, how much of what, and what they used."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from suanli.cli.client import path_of
from suanli.cli.main import SETTINGS
from suanli.cli.render import Table, clock, listed, money
from suanli.cli.session import Session, command, seconds
from suanli.domain.errors import UsageError

keys = typer.Typer(
    no_args_is_help=True,
    help="API keys of services: make, limit, revoke, and see what they used.",
    **SETTINGS,
)

NONE = "none"
_PERIODS_S = {
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "w": 604800.0,
    "week": 604800.0,
    "month": 30 * 86400.0,
}
_PERIOD_NAMES = {3600.0: "hour", 86400.0: "day", 604800.0: "week", 30 * 86400.0: "month"}
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kKmM]?)")
_THOUSANDS = {"": 1.0, "k": 1e3, "m": 1e6}
_BUDGET = re.compile(r"\$?([0-9]+(?:\.[0-9]+)?)(?:/([a-z]+))?")


def count(text: str) -> float | str:
    """`10`, `2.5`, `20k`, `1M`; or `none`."""
    found = _COUNT.fullmatch(text.strip())
    if text == NONE:
        return NONE
    if found is None or float(found[1]) == 0:
        raise typer.BadParameter("expected a number above 0 such as 10 or 20k, or none")
    return float(found[1]) * _THOUSANDS[found[2].lower()]


def budget(text: str) -> tuple[float, float] | str:
    """`5/d`, `$0.5/h`, `100/month` as US dollars and seconds; without a period a month's; or `none`."""
    found = _BUDGET.fullmatch(text.strip())
    if text == NONE:
        return NONE
    if found is None or float(found[1]) == 0 or (found[2] or "month") not in _PERIODS_S:
        raise typer.BadParameter("expected US dollars per h, d, week or month such as 5/d, or none")
    return float(found[1]), _PERIODS_S[found[2] or "month"]


def lifetime(text: str) -> float | str:
    """`30d`, `12h`; or `none`."""
    return NONE if text == NONE else seconds(text)


Name = Annotated[str, typer.Argument(metavar="NAME", help="The key's name.")]
Team = Annotated[str, typer.Option("--team", metavar="TEAM", help="Whose key it is. Default: `default`.")]
Services = Annotated[
    list[str],
    typer.Option(
        "--service", metavar="SERVICE", help="It may use this one; may be given again. Default: all."
    ),
]
Rps = Annotated[
    Any, typer.Option("--rps", parser=count, metavar="N", help="At most so many requests in any second.")
]
Tokens = Annotated[
    Any,
    typer.Option(
        "--tokens-per-minute",
        parser=count,
        metavar="N",
        help="At most so many tokens, as 20k, in any minute.",
    ),
]
Budget = Annotated[
    Any,
    typer.Option("--budget", parser=budget, metavar="USD/PERIOD", help="As 5/d, also per h, week or month."),
]
Expires = Annotated[
    Any,
    typer.Option("--expires", parser=lifetime, metavar="TIME", help="It ends by itself after this, as 30d."),
]
EVERY: list[str] = []
"""typer's way to say "not given"; never changed."""


@keys.command("create")
@command
def create(
    session: Session,
    name: Name,
    *,
    team: Team = "",
    service: Services = EVERY,
    rps: Rps = None,
    tokens_per_minute: Tokens = None,
    budget: Budget = None,
    expires: Expires = None,
) -> None:
    """Make a key. Its secret is printed this once, alone on stdout."""
    body = {"name": name, **_terms(team, service, rps, tokens_per_minute, budget, expires)}
    made = session.connect().post("/v1/keys", body)
    session.note(f"{name}: {_limits(made['key'])}. Keep the secret now: nobody can tell it again.")
    session.show(made, lambda: str(made["secret"]))


@keys.command("list")
@command
def list_(session: Session) -> None:
    """List keys: what they may, and until when."""
    body = session.connect().get("/v1/keys")
    session.show(body, lambda: _table(body))


@keys.command("show")
@command
def show(session: Session, name: Name) -> None:
    """Show one key."""
    body = session.connect().get(path_of("keys", name))
    session.show(body, lambda: _table({"keys": [body]}))


@keys.command("set")
@command
def set_(
    session: Session,
    name: Name,
    *,
    team: Team = "",
    service: Services = EVERY,
    rps: Rps = None,
    tokens_per_minute: Tokens = None,
    budget: Budget = None,
    expires: Expires = None,
) -> None:
    """Change what a key may; `none` lifts a limit. The secret stays, and gateways follow within a second or two."""
    terms = _terms(team, service, rps, tokens_per_minute, budget, expires)
    if not terms:
        raise UsageError("There is nothing to change.", remedy="Give what to change, such as `--rps 10`.")
    body = session.connect().patch(path_of("keys", name), terms)
    session.show(body, lambda: _table({"keys": [body]}))


@keys.command("revoke")
@command
def revoke(session: Session, name: Name) -> None:
    """End a key for good."""
    body = session.connect().post(f"{path_of('keys', name)}/revoke")
    session.show(body, lambda: f"{name} opens nothing any more")


@keys.command("usage")
@command
def usage(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="This key only.")] = "",
    *,
    by: Annotated[
        str, typer.Option("--by", metavar="PERIOD", help="Sums per hour, day, week or month.")
    ] = "day",
    days: Annotated[float, typer.Option("--days", min=0.01, max=400.0, help="So far back.")] = 30.0,
) -> None:
    """Show what keys used: requests, tokens, seconds, cost and energy, by period and service."""
    if by not in _PERIOD_NAMES.values():
        raise UsageError(f"There is no period {by!r}.", remedy="The periods are hour, day, week and month.")
    body = session.connect().get("/v1/usage", key=name, period=by, days=days)
    session.show(body, lambda: _usage_table(body))


def _terms(
    team: str, services: list[str], rps: Any, tokens_per_minute: Any, budget: Any, expires: Any
) -> dict[str, Any]:
    """What was given, as the API takes it."""
    terms: dict[str, Any] = {}
    if team:
        terms["team"] = team
    if services:
        terms["services"] = services
    for field, value in (
        ("requests_per_s", rps),
        ("tokens_per_min", tokens_per_minute),
        ("expires_in_s", expires),
    ):
        if value is not None:
            terms[field] = None if value == NONE else value
    if budget == NONE:
        terms["budget_usd"] = None
    elif budget is not None:
        terms["budget_usd"], terms["budget_period_s"] = budget
    return terms


def _table(body: Mapping[str, Any]) -> Table:
    rows = [
        [
            key["name"],
            key["team"],
            key["state"],
            listed(key["services"]) if key["services"] != ["*"] else "all",
            _limits(key),
            clock(key["expires_s"]) or "never",
            key["hint"],
        ]
        for key in body["keys"]
    ]
    columns = ["KEY", "TEAM", "STATE", "SERVICES", "LIMITS", "EXPIRES", "SECRET"]
    return Table(columns, rows, empty="No keys. Make one with `suanli keys create NAME`.")


def _limits(key: Mapping[str, Any]) -> str:
    limits: list[str] = []
    if key["requests_per_s"] is not None:
        limits.append(f"{key['requests_per_s']:g} requests/s")
    if key["tokens_per_min"] is not None:
        limits.append(f"{key['tokens_per_min']:,.0f} tokens/min")
    if key["budget_usd"] is not None:
        period_s = key["budget_period_s"]
        limits.append(f"${key['budget_usd']:g} a {_PERIOD_NAMES.get(period_s, f'{period_s:g} s')}")
    return ", ".join(limits) or "no limits"


def _usage_table(body: Mapping[str, Any]) -> Table:
    rows = [
        [
            clock(used["from_s"]),
            used["key"] or "(none)",
            used["service"],
            f"{used['requests']:,}",
            f"{used['failed']:,}",
            f"{used['refused']:,}",
            f"{used['tokens_in']:,}",
            f"{used['tokens_out']:,}",
            f"{used['seconds']:.1f}",
            money(used["cost_usd"]),
            f"{used['energy_joules'] / 3600.0:.2f}",
        ]
        for used in body["usage"]
    ]
    columns = [
        "FROM",
        "KEY",
        "SERVICE",
        "REQUESTS",
        "FAILED",
        "REFUSED",
        "TOKENS IN",
        "TOKENS OUT",
        "SECONDS",
        "COST",
        "WH",
    ]
    return Table(columns, rows, empty="Nothing was used.")
