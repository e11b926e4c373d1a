"""`plan --what-if` in words: how things would go on, beside how they would go on with something changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from suanli.cli.plans import name_of
from suanli.cli.render import Table, money
from suanli.reports.quantities import duration

Outlook = Mapping[str, Any]

WORKLOADS_MAX = 20


def what_if_table(told: Mapping[str, Any]) -> Table:
    """Sums first, then the workloads that would start or end at another time, then the others."""
    now, then = told["now"], told["then"]
    rows = [
        ["policy", now["policy"], then["policy"]],
        ["nodes", str(now["nodes"]), str(then["nodes"])],
        ["start now", str(now["starts_now"]), str(then["starts_now"])],
        ["never start", str(now["never"]), str(then["never"])],
        ["end, on average after", _seconds(now["mean_end_s"]), _seconds(then["mean_end_s"])],
        ["all ended after", _seconds(now["all_ended_s"]), _seconds(then["all_ended_s"])],
        ["cost of the work", money(now["cost"]), money(then["cost"])],
        ["the whole fleet, per hour", money(now["fleet_per_hour"]), money(then["fleet_per_hour"])],
    ]
    before = {name_of(going): going for going in now["workloads"]}
    pairs = [(before.get(name_of(going)), going) for going in then["workloads"]]
    pairs.sort(key=lambda pair: pair[0] == pair[1])
    rows += [
        [name_of(going), _from_to(earlier) if earlier else "", _from_to(going)]
        for earlier, going in pairs[:WORKLOADS_MAX]
    ]
    return Table(["", "AS THINGS ARE", f"IF {', '.join(told['changes'])}"], rows)


def assumptions(told: Mapping[str, Any]) -> str:
    """What the comparison rests on; empty where all is declared or known, and was played to its end."""
    return _given_up(told) + _counted_as_an_hour(told["assumed"])


def _given_up(told: Mapping[str, Any]) -> str:
    beyond = [told[side]["beyond_s"] for side in ("now", "then") if told[side]["beyond_s"] is not None]
    if not beyond:
        return ""
    return (
        f"Not all had come to its end after {duration(min(beyond))}, and was followed no further: what shares in turns "
        "without saving its work may never get done.\n"
    )


def _counted_as_an_hour(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"Nobody knows how long {shown} will take: counted as 1h. Say it with `duration`.\n"


def _from_to(going: Mapping[str, Any]) -> str:
    if going["start_s"] is None:
        return "never starts"
    start = "now" if not going["start_s"] else f"in {duration(going['start_s'])}"
    return start if going["end_s"] is None else f"{start}, ends after {duration(going['end_s'])}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)
