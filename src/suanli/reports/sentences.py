"""Reasons in words. The only place where evidence becomes a sentence; every surface shows the same one."""

from collections.abc import Callable, Mapping
from typing import Any

from suanli.domain.reasons import Reason, ReasonCode, code_of
from suanli.reports.quantities import amount, duration

Evidence = Mapping[str, Any]


def sentence(reason: Reason) -> str:
    """One sentence in the user's nouns, with the numbers that matter."""
    return _SENTENCES[code_of(reason.token)](reason.resource, reason.evidence)


def advice(reason: Reason) -> str:
    """Whether waiting or preemption would help, in words."""
    if reason.will_waiting_help:
        more = ", or a higher priority could take its place" if reason.will_preemption_help else ""
        return f"waiting helps{more}"
    return "waiting alone will not help"


def _held(resource: str, e: Evidence) -> str:
    return f"held by {e.get('by', 'its owner')}; release it with `suanli release`"


def _invalid(resource: str, e: Evidence) -> str:
    return f"its declaration is not valid: {e.get('because', resource)}"


def _unauthorised(resource: str, e: Evidence) -> str:
    return f"its owner may not run it here: {e.get('because', resource)}"


def _depends_on(resource: str, e: Evidence) -> str:
    state = e.get("state")
    if state == "not submitted":
        return f"waits for {e['on']}, which has not been submitted"
    return f"waits for {e['on']} to succeed; it is {state} now"


def _before_start_time(resource: str, e: Evidence) -> str:
    why = "it is tried again" if e.get("because") == "retry" else "its declared start is"
    return f"{why} in {duration(e['wait_s'])}"


def _model_not_ready(resource: str, e: Evidence) -> str:
    return f"its model {resource} is not there yet"


def _no_such_accelerator(resource: str, e: Evidence) -> str:
    have = ", ".join(e.get("in_fleet", ())) or "no accelerator at all"
    return f"asks for {e['asked_count']:g} {resource} per node; the fleet has {have}"


def _exceeds_fleet(resource: str, e: Evidence) -> str:
    if e["nodes"] > e["nodes_in_fleet"]:
        return f"asks for {e['nodes']} nodes; the fleet has {e['nodes_in_fleet']}"
    asked, largest = amount(resource, e["asked"]), amount(resource, e["largest_node_has"])
    if e["nodes_with_enough"]:
        return f"asks for {asked} on {e['nodes']} nodes; only {e['nodes_with_enough']} have that much"
    return f"asks for {asked} on one node; the largest has {largest}"


def _exceeds_quota(resource: str, e: Evidence) -> str:
    return (
        f"asks for {amount(resource, e['asked'])}; team {e['team']} may hold {amount(resource, e['limit'])}"
    )


def _constraint_unsatisfiable(resource: str, e: Evidence) -> str:
    return f"no {e['nodes']} node(s) have all of {', '.join(e['together'])} together"


def _quota_used(resource: str, e: Evidence) -> str:
    return (
        f"team {e['team']} holds {amount(resource, e['used'])} of its {amount(resource, e['limit'])}; "
        f"this asks for {amount(resource, e['asked'])} more"
    )


def _resources_busy(resource: str, e: Evidence) -> str:
    if resource == "room":
        stopping = ", ".join(e.get("stopping", ())) or "others"
        return f"room is being made on {', '.join(e['reserved_on'])}: {stopping} is stopping"
    where = f" on each of {e['nodes']} nodes" if e["nodes"] > 1 else ""
    held = ", ".join(e.get("held_by", ()))
    return (
        f"needs {amount(resource, e['asked'])}{where}; the best node has {amount(resource, e['largest_free'])} free"
        + (f" (held by {held})" if held else "")
    )


def _fragmented(resource: str, e: Evidence) -> str:
    return (
        f"needs {amount(resource, e['asked'])} on {e['nodes']} node(s); {amount(resource, e['free'])} is free in all, "
        f"but only {e['nodes_with_enough']} node(s) have enough together (largest free: "
        f"{amount(resource, e['largest_free'])})"
    )


def _behind_higher_priority(resource: str, e: Evidence) -> str:
    return f"{', '.join(e['ahead'])} went first in this cycle and took the room"


def _behind_fair_share(resource: str, e: Evidence) -> str:
    return "accelerators are shared over time, and others have their turn now"


def _reserved_for(resource: str, e: Evidence) -> str:
    return f"the room is reserved for {', '.join(e['reserved_for'])}"


def _node_unhealthy(resource: str, e: Evidence) -> str:
    return (
        f"needs {e['nodes']} node(s) like {', '.join(e['unusable'])}, which cannot be used now ({e['because']}); "
        f"{e['nodes_usable']} can"
    )


def _budget_exhausted(resource: str, e: Evidence) -> str:
    return f"the budget is spent: {e}"


def _power_cap(resource: str, e: Evidence) -> str:
    return f"the power cap is reached: {e}"


def _loading_model(resource: str, e: Evidence) -> str:
    return (
        f"runs on {', '.join(e['nodes'])} and has not answered its health check for {duration(e['since_s'])}"
    )


def _waiting_for_gang(resource: str, e: Evidence) -> str:
    return f"{e['workers']} workers are coming up on {', '.join(e['nodes'])} since {duration(e['since_s'])}"


def _starting(resource: str, e: Evidence) -> str:
    return f"is coming up on {', '.join(e['nodes'])} since {duration(e['since_s'])}"


_SENTENCES: dict[ReasonCode, Callable[[str, Evidence], str]] = {
    ReasonCode.HELD: _held,
    ReasonCode.INVALID: _invalid,
    ReasonCode.UNAUTHORISED: _unauthorised,
    ReasonCode.DEPENDS_ON: _depends_on,
    ReasonCode.BEFORE_START_TIME: _before_start_time,
    ReasonCode.MODEL_NOT_READY: _model_not_ready,
    ReasonCode.NO_SUCH_ACCELERATOR: _no_such_accelerator,
    ReasonCode.EXCEEDS_FLEET: _exceeds_fleet,
    ReasonCode.EXCEEDS_QUOTA: _exceeds_quota,
    ReasonCode.CONSTRAINT_UNSATISFIABLE: _constraint_unsatisfiable,
    ReasonCode.QUOTA_USED: _quota_used,
    ReasonCode.RESOURCES_BUSY: _resources_busy,
    ReasonCode.FRAGMENTED: _fragmented,
    ReasonCode.BEHIND_HIGHER_PRIORITY: _behind_higher_priority,
    ReasonCode.BEHIND_FAIR_SHARE: _behind_fair_share,
    ReasonCode.RESERVED_FOR: _reserved_for,
    ReasonCode.NODE_UNHEALTHY: _node_unhealthy,
    ReasonCode.BUDGET_EXHAUSTED: _budget_exhausted,
    ReasonCode.POWER_CAP: _power_cap,
    ReasonCode.LOADING_MODEL: _loading_model,
    ReasonCode.WAITING_FOR_GANG: _waiting_for_gang,
    ReasonCode.STARTING: _starting,
}
