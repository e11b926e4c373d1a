"""Admission: what may not start now, whatever is free; and what its team may still hold."""

from math import floor

from suanli.domain.fleet import Team
from suanli.domain.reasons import Reason, ReasonCode, reason
from suanli.domain.record import Placement, Record, Status
from suanli.kernel.asks import Shapes, Wants
from suanli.kernel.state import State, add_share, by_seq
from suanli.policies.table import RESOURCES, TOLERANCE, Ask

QUOTA_RESOURCES = ("cpus", "memory_bytes")
"""What a quota may name beside accelerator models."""

HOLDERS_MAX = 5
"""Names of holders given as evidence."""


def not_eligible(record: Record, state: State, now_s: float) -> Reason | None:
    """The reason of the first tier, or None where the workload may be considered."""
    if record.status is Status.HELD:
        return reason(ReasonCode.HELD, by="its owner")
    for name in record.workload.depends_on:
        why = _dependency(name, state)
        if why is not None:
            return why
    starts_s = max(record.workload.not_before_s or 0.0, record.not_before_s)
    if starts_s > now_s:
        cause = "retry" if record.not_before_s >= starts_s else "declared"
        return reason(ReasonCode.BEFORE_START_TIME, starts_s=starts_s, wait_s=starts_s - now_s, because=cause)
    return None


def _dependency(name: str, state: State) -> Reason | None:
    """DependsOn, unless everything of that name has succeeded; waiting helps only while it still may."""
    group = state.by_name.get(name, {})
    if group and all(record.status is Status.SUCCEEDED for record in group.values()):
        return None
    if not group:
        return reason(ReasonCode.DEPENDS_ON, name, on=name, state="not submitted")
    record = next(r for r in group.values() if r.status is not Status.SUCCEEDED)
    may_succeed = not record.status.is_final
    return reason(ReasonCode.DEPENDS_ON, name, waiting_helps=may_succeed, on=name, state=record.status.value)


class QuotaLedger:
    """What each team holds, counting what this step gives out or keeps. A question is O(alternatives · quota)."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.teams = {team.name: team for team in state.fleet.teams if team.quota}
        self._use = {team: dict(state.team_use.get(team, {})) for team in self.teams}

    def within(self, record: Record, wants: Wants, shapes: Shapes) -> Wants:
        """What is asked, with no more nodes of each alternative than the team's quota has left for it."""
        team = self.teams.get(record.workload.team)
        if team is None:
            return wants
        return shapes.capped(wants, tuple(self._nodes_left(team, ask, wants.most) for ask in wants.asks))

    def refusal(self, record: Record, wants: Wants) -> Reason:
        """Why the quota has no room for even the fewest nodes: of the alternatives, the one that is nearest to it."""
        team = self.teams[record.workload.team]
        reasons = [self._over(team, ask, wants.fewest) for ask in wants.asks]
        return next((why for why in reasons if why.token == ReasonCode.QUOTA_USED.token), reasons[0])

    def take(self, record: Record, placements: tuple[Placement, ...]) -> None:
        use = self._use.get(record.workload.team)
        if use is not None:
            for placement in placements:
                add_share(use, placement.share)

    def _nodes_left(self, team: Team, ask: Ask, most: int) -> int:
        used = self._use.get(team.name, {})
        left = [
            floor((limit - used.get(resource, 0.0) + TOLERANCE) / asked)
            for resource, limit in team.quota.items()
            if (asked := _asked_of(resource, ask)) > 0
        ]
        return max(0, min([most, *left]))

    def _over(self, team: Team, ask: Ask, size: int) -> Reason:
        used = self._use.get(team.name, {})
        over = [
            (resource, asked, limit)
            for resource, limit in team.quota.items()
            if (asked := _asked_of(resource, ask) * size) > 0
            and asked + used.get(resource, 0.0) > limit + TOLERANCE
        ]
        never = [row for row in over if row[1] > row[2] + TOLERANCE]
        resource, asked, limit = (never or over)[0]
        if never:
            return reason(ReasonCode.EXCEEDS_QUOTA, resource, team=team.name, asked=asked, limit=limit)
        holders = [r.key for r in by_seq(self._state.live) if r.workload.team == team.name]
        return reason(
            ReasonCode.QUOTA_USED,
            resource,
            preemption_helps=False,
            team=team.name,
            asked=asked,
            used=round(used.get(resource, 0.0), 6),
            limit=limit,
            holders=tuple(holders[:HOLDERS_MAX]),
        )


def _asked_of(resource: str, ask: Ask) -> float:
    """What one node's share counts against a quota of that resource."""
    if resource in QUOTA_RESOURCES:
        return ask.amounts[RESOURCES.index(resource)]
    return ask.count if ask.model != -1 and ask.accelerator == resource else 0.0
