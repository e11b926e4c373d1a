"""What a WorkloadView of the API says, in a few words."""

from collections.abc import Mapping
from typing import Any

from suanli.cli.render import listed
from suanli.reports.quantities import duration

View = Mapping[str, Any]

FINAL = ("succeeded", "failed", "stopped")
SHOWN_METRICS_MAX = 2


def is_final(view: View) -> bool:
    return view["status"] in FINAL


def is_settled(view: View) -> bool:
    """Ended; or, of a service, answering."""
    return is_final(view) or view["ready"]


def standing(view: View) -> str:
    """Status, and why or where."""
    why = because(view)
    where = f" on {listed(view['nodes'])}" if view.get("nodes") and not why else ""
    return f"{view['status']}{where}{f': {why}' if why else ''}"


def because(view: View) -> str:
    """Why it waits, or how it ended; nothing where there is nothing to say."""
    if view.get("reason"):
        return f"{view['reason']}: {view['sentence']}"
    if not is_final(view):
        return ""
    code = view.get("exit_code")
    parts = [view.get("end_cause") or "", f"exit code {code}" if code else "", view.get("end_detail") or ""]
    return "; ".join(part for part in parts if part and part != view["status"])


def progress(view: View) -> str:
    """`120/500  loss 2.41`."""
    said = view.get("progress")
    if not said:
        return ""
    step = f"{said['step']}/{said['total']}" if said.get("total") else str(said["step"])
    metrics = list((said.get("metrics") or {}).items())[:SHOWN_METRICS_MAX]
    return "  ".join([step, *(f"{name} {value:.4g}" for name, value in metrics)])


def span(seconds: float | None) -> str:
    return duration(seconds) if seconds else ""
