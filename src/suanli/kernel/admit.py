"""Admission: what may not start now, whatever is free; and what its team may still hold."""

from suanli.domain.reasons import Reason, ReasonCode, reason
from suanli.domain.record import Placement, Record, Status
from suanli.kernel.asks import Wants
from suanli.kernel.state import State, add_share
from suanli.policies.table import Ask


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
    """What each team holds, counting what this step gives out. `refusal` is O(resources of the quota)."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._use = {team: dict(use) for team, use in state.team_use.items()}
        self._teams = {team.name: team for team in state.fleet.teams}

    def refusal(self, record: Record, wants: Wants) -> Reason | None:
        """QuotaUsed or ExceedsQuota where no alternative stays within the team's quota."""
        team = self._teams.get(record.workload.team)
        if team is None or not team.quota:
            return None
        used = self._use.get(team.name, {})
        worst: Reason | None = None
        for ask, size in wants.options():
            why = self._over(team.name, team.quota, used, ask, size)
            if why is None:
                return None
            if worst is None or why.token == ReasonCode.QUOTA_USED.token:
                worst = why
        return worst

    def take(self, record: Record, placements: tuple[Placement, ...]) -> None:
        use = self._use.setdefault(record.workload.team, {})
        for placement in placements:
            add_share(use, placement.share)

    def _over(
        self, team: str, quota: dict[str, float], used: dict[str, float], ask: Ask, size: int
    ) -> Reason | None:
        amounts = {"cpus": float(ask.vector[0]), "memory_bytes": float(ask.vector[1])}
        if ask.model != -1:
            amounts[ask.accelerator] = ask.count
        for resource, limit in quota.items():
            asked = amounts.get(resource, 0.0) * size
            holding = used.get(resource, 0.0)
            if asked > limit:
                return reason(ReasonCode.EXCEEDS_QUOTA, resource, team=team, asked=asked, limit=limit)
            if asked + holding > limit and asked > 0:
                holders = tuple(r.key for r in self._state.live.values() if r.workload.team == team)[:5]
                return reason(
                    ReasonCode.QUOTA_USED,
                    resource,
                    preemption_helps=False,
                    team=team,
                    asked=asked,
                    used=holding,
                    limit=limit,
                    holders=holders,
                )
        return None
