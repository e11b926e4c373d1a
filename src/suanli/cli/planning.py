"""`plan` shows what would happen; `apply` lets exactly that happen."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from suanli.cli.client import Client, path_of
from suanli.cli.errors import Refused
from suanli.cli.files import Files, Overrides, sources
from suanli.cli.plans import placement_table, told
from suanli.cli.prospects import assumptions, what_if_table
from suanli.cli.session import Session, command
from suanli.cli.waiting import wait_for
from suanli.domain.errors import Unavailable, UsageError

NEVER_FITS = 3
WOULD_WAIT = 4
REPLANS_MAX = 5

Policy = Annotated[
    str,
    typer.Option(
        "--policy", metavar="NAME", help="`order+allocate+place`, or a part of it; see `suanli policies`."
    ),
]


@command
def plan(
    session: Session,
    *,
    file: Files,
    fleet: Annotated[
        str, typer.Option("--fleet", metavar="FILE", help="Plan for this fleet, empty, without a controller.")
    ] = "",
    policy: Policy = "",
    override: Overrides = [],  # noqa: B006 - typer's way to say "none", never changed
    what_if: Annotated[
        list[str],
        typer.Option(
            "--what-if",
            metavar="CHANGE",
            help="Compare with `fleet.nodes.NAME.count=+2`, `policy=NAME`, or `NAME:FIELD=VALUE`; may be repeated.",
        ),
    ] = [],  # noqa: B006
    fail_if_waiting: Annotated[
        bool, typer.Option("--fail-if-waiting", help="Exit with 4 if anything would wait.")
    ] = False,
) -> None:
    """Show what would happen; changes nothing.

    Shows placements and prices, and of what would wait: why, and what would make it run. Ends with 3 if a workload can
    never run on the fleet. With `--what-if` both are played on to their end: how things would go on, and how with that
    changed.
    """
    asked = sources([fleet, *file] if fleet else file)
    if fleet:
        answer = _offline(asked, override, policy, what_if)
    else:
        question = {**_asked(asked, override, policy), "what_if": what_if}
        answer = _controller(session).post(path_of("plan"), question)
    session.show(answer, lambda: placement_table(answer))
    if not session.is_machine:
        sys.stdout.write(told(answer) + "\n")
        if answer.get("what_if"):
            sys.stdout.write("\n" + what_if_table(answer["what_if"]).plain() + assumptions(answer["what_if"]))
    code = exit_code(answer, fail_if_waiting)
    if code:
        raise typer.Exit(code)


def _controller(session: Session) -> Client:
    """Raises Unavailable, which here has another way out."""
    try:
        return session.connect()
    except Unavailable as error:
        error.remedy += " A plan can do without: give a fleet with `--fleet FILE`."
        raise


def exit_code(answer: Mapping[str, Any], fail_if_waiting: bool) -> int:
    if any(wait["never_fits"] for wait in answer["waiting"]):
        return NEVER_FITS
    return WOULD_WAIT if fail_if_waiting and answer["waiting"] else 0


@command
def apply(
    session: Session,
    *,
    file: Files = [],  # noqa: B006
    plan_id: Annotated[
        str, typer.Option("--plan-id", metavar="ID", help="Apply the plan that was shown under this id.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until jobs have ended and services answer; 1 if one failed.")
    ] = False,
    policy: Policy = "",
    override: Overrides = [],  # noqa: B006
    idempotency_key: Annotated[
        str,
        typer.Option(
            "--idempotency-key",
            metavar="KEY",
            help="The same again with `--yes` answers the same, and changes nothing.",
        ),
    ] = "",
) -> None:
    """Hand in workloads or a fleet.

    Shows the plan, asks, and applies exactly what it showed. What can't run yet is accepted all the same and waits with
    its reason. A plan that has gone stale ends with 5. With `--yes` and an idempotency key no plan is shown.
    """
    if bool(file) == bool(plan_id):
        raise UsageError("Give files with `-f`, or the id of a plan with `--plan-id`.")
    if plan_id and (override or policy):
        raise UsageError("A plan is applied as it was shown, without `--set` and `--policy`.")
    client = session.connect()
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    if plan_id:
        applied = client.post(path_of("apply"), {"plan_id": plan_id}, headers)
    else:
        _require_an_answer(session, yes)
        asked = _asked(sources(file), override, policy)
        if idempotency_key and yes:  # the same request again must be the same, whatever the plan is by now
            applied = client.post(path_of("apply"), asked, headers)
        else:
            applied = _show_and_apply(session, client, asked, yes, headers)
    session.show(applied, lambda: _told(applied))
    if wait:
        wait_for(session, client, [*applied["submitted"], *applied["unchanged"]])


def _require_an_answer(session: Session, yes: bool) -> None:
    if not yes and not session.can_ask:
        raise UsageError(
            "Nobody can be asked here: this is no terminal.",
            remedy="Give `--yes`, or `--plan-id` of a plan that was looked at.",
        )


def _show_and_apply(
    session: Session, client: Client, asked: Mapping[str, Any], yes: bool, headers: Mapping[str, str]
) -> Mapping[str, Any]:
    """Plan, show, ask, apply; from the start where the state moved on meanwhile. Raises Refused where it won't rest."""
    for again in range(REPLANS_MAX):
        answer = client.post(path_of("plan"), asked)
        if not session.is_machine and not session.quiet:
            sys.stderr.write(f"{placement_table(answer).plain()}{told(answer)}\n")
        if not yes and not typer.confirm("Apply it?", err=True):
            raise typer.Exit(0)
        try:
            return client.post(path_of("apply"), {"plan_id": answer["plan_id"]}, headers)
        except Refused as error:
            if error.code != "SL-PLAN-STALE" or again == REPLANS_MAX - 1:
                raise
            session.note("The state changed meanwhile; this is the plan now:")
            time.sleep(0.2 * again)
    raise AssertionError("unreachable")


def _asked(texts: Sequence[Mapping[str, str]], overrides: Sequence[str], policy: str) -> dict[str, Any]:
    return {"sources": list(texts), "overrides": list(overrides), "policy": policy}


def _offline(
    texts: Sequence[Mapping[str, str]], overrides: Sequence[str], policy: str, what_if: Sequence[str]
) -> dict[str, Any]:
    """The same use case in this process, for a fleet on which nothing runs."""
    import msgspec

    from suanli.control.declare import declare
    from suanli.control.requests import offline_plan, offline_what_if
    from suanli.control.what_if import changes_of
    from suanli.spec import Source

    now_s, read = time.time(), [Source(**text) for text in texts]
    declared = declare(read, now_s=now_s, overrides=overrides)
    answer = msgspec.to_builtins(offline_plan(declared.asked, policy, now_s))
    told: Any = None
    if what_if:
        changes = changes_of(what_if)
        then = declare(read, now_s=now_s, overrides=[*overrides, *changes.overrides]).asked
        told = msgspec.to_builtins(offline_what_if(declared.asked, then, policy, changes, now_s))
    return {**answer, "warnings": msgspec.to_builtins(declared.warnings), "what_if": told}


def _told(applied: Mapping[str, Any]) -> str:
    lines = [f"fleet {applied['fleet']} declared"] if applied.get("fleet") else []
    lines += [f"alert {name} declared" for name in applied["alerts"]]
    lines += [f"{name} accepted" for name in applied["submitted"]]
    lines += [f"{name} unchanged" for name in applied["unchanged"]]
    return "\n".join(lines) or "Nothing to do."
