"""A plan in words: placements with prices, what would stop for them, and why the rest would wait."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from suanli.cli.errors import mistake_lines
from suanli.cli.render import Table, clean, money
from suanli.reports.quantities import amount, duration

Plan = Mapping[str, Any]

WAITS_TOLD_MAX = 20


def placement_table(plan: Plan) -> Table:
    """Where everything would go; placements alike (one gang, one kind of share) stand in one row."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for placement in plan["placements"]:
        share = resources(placement["resources"])
        groups.setdefault((name_of(placement), share, placement["start"]), []).append(placement)
    rows = [
        [
            name,
            _nodes([p["node"] for p in group]),
            share,
            _start(start),
            _price(sum(p["price_per_hour"] for p in group)),
        ]
        for (name, share, start), group in groups.items()
    ]
    return Table(["WORKLOAD", "NODES", "EACH", "STARTS", "PER HOUR"], rows, empty="Nothing would start.")


def told(plan: Plan) -> str:
    """What stands below the table."""
    return "\n".join(clean(line) for line in _lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    for warning in plan["warnings"]:
        first, *rest = mistake_lines(warning)
        yield from (f"warning: {first}", *rest)
    for gate in plan.get("gates", ()):
        yield f"{gate['service']}: gate {'passed' if gate['passed'] else 'NOT passed'}: {gate['sentence']}"
        if not gate["passed"]:
            yield f"    {gate['remedy']}"
    for stop in plan["stops"]:
        lost = f"loses {duration(stop['lost_s'])} since its last checkpoint"
        yield f"{name_of(stop)} would stop for {stop['stopped_for']} ({lost})"
    for wait in plan["waiting"][:WAITS_TOLD_MAX]:
        yield f"{name_of(wait)} would wait: {wait['reason']}: {wait['sentence']}"
        yield from would_run_lines(wait["would_run_if"])
    if len(plan["waiting"]) > WAITS_TOLD_MAX:
        yield f"and {len(plan['waiting']) - WAITS_TOLD_MAX} more would wait (`-o json` shows all)"
    yield f"{plan['plan_id']}  policy {plan['policy']}  {money(plan['cost_per_hour'])} per hour"


def would_run_lines(relaxations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """`would run now if   --set a=b   (…)`, one line for each single change."""
    for index, relaxation in enumerate(relaxations):
        label = "would run now if" if index == 0 else ""
        change = f"--set {relaxation['change']}" if relaxation["change"] else ""
        words = relaxation["sentence"]
        if relaxation.get("preempts"):
            words += (
                f"; stops {', '.join(relaxation['preempts'])}, which loses {duration(relaxation['lost_s'])}"
            )
        yield f"  {label:<17} {change:<34} {words}".rstrip() if change else f"  {label:<17} {words}"


def resources(share: Mapping[str, Any]) -> str:
    """`2 cpus, 4GiB of memory, 1 H100`."""
    quantities = {
        name: share[name] for name in ("cpus", "memory_bytes", "disk_bytes", "network_bps") if share.get(name)
    }
    parts = [amount(name, quantity) for name, quantity in quantities.items()]
    if share.get("accelerator"):
        parts.append(
            amount(share["accelerator"], len(share.get("devices", ())) * share.get("device_share", 1.0))
        )
    return ", ".join(parts)


def name_of(part: Mapping[str, Any]) -> str:
    return part["workload"] if part.get("replica") is None else f"{part['workload']}/{part['replica']}"


def _nodes(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} … {names[-1]} ({len(names)})"


def _start(start_s: float) -> str:
    return f"within {duration(start_s)}" if start_s else "now"


def _price(per_hour: float) -> str:
    return money(per_hour) if per_hour else "free"
