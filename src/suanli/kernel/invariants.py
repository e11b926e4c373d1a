"""What must hold of every decision before it is acted on. On in production."""

from collections.abc import Iterator

from suanli.domain.decision import Decision, Place, RemoveNode, Stop
from suanli.domain.reasons import ReasonCode
from suanli.domain.record import Placement, Record, Status
from suanli.domain.resources import Demand, Share
from suanli.domain.workload import EndCause
from suanli.kernel.sharers import shares
from suanli.kernel.state import State, add_share
from suanli.policies.registry import shares_over_time
from suanli.policies.table import TOLERANCE, NodeTable

_TOKENS = frozenset(code.token for code in ReasonCode)


def violations(state: State, decision: Decision) -> tuple[str, ...]:
    """Sentences, empty where all is well. O(actions · D + waiting + reasons).

    Checked: nothing is placed on what is not free or beyond a quota; whole gangs of what was asked, on distinct usable
    nodes; attempts numbered in turn; only running work is stopped, once, and only work of lower priority for other
    work, unless its turn is over under a policy that shares over time; no node is removed that is used; and everything
    that waits, and only that, has a known reason.
    """
    found: list[str] = []
    table = state.table.copy()
    use = {team: dict(held) for team, held in state.team_use.items()}
    placed: set[str] = set()
    ended: set[str] = set()
    for action in decision.actions:
        if isinstance(action, Place):
            record = state.waiting.get(action.key)
            found += _placing(record, action, table, placed)
            found += _beyond_quota(state, record, action, use)
            table.take(action.placements)
            placed.add(action.key)
        elif isinstance(action, Stop):
            found += _stopping(state, action, ended, takes_turns=shares_over_time(decision.policy))
            ended.add(action.key)
    found += _removing(state, decision)
    found += _waiting(state, decision, placed)
    return tuple(found)


def _placing(record: Record | None, action: Place, table: NodeTable, placed: set[str]) -> Iterator[str]:
    if record is None or record.status is not Status.WAITING or action.key in placed:
        yield f"{action.key} is placed but does not wait"
        return
    nodes = [placement.node for placement in action.placements]
    fewest, most = record.workload.elastic_nodes or (record.workload.nodes, record.workload.nodes)
    if len(set(nodes)) != len(nodes) or not fewest <= len(nodes) <= most:
        yield f"{action.key}: {len(nodes)} placements are not a whole gang on distinct nodes"
    if action.number != record.attempts_made + 1:
        yield f"{action.key}: attempt {action.number} does not follow {record.attempts_made}"
    if not table.can_take(action.placements):
        yield f"{action.key} is placed on what is not free"
    elif not all(_is_asked(record.workload.demand, placement, table) for placement in action.placements):
        yield f"{action.key} is given something else than it asks for"


def _is_asked(demand: Demand, placement: Placement, table: NodeTable) -> bool:
    share = placement.share
    plain = (share.cpus, share.memory_bytes, share.disk_bytes, share.network_bps)
    if plain != (demand.cpus, demand.memory_bytes, demand.disk_bytes, demand.network_bps):
        return False
    if not demand.accelerators:
        return not share.devices
    return _has_its_devices(share, table.nodes[table.index[placement.node]].accelerators) and any(
        share.accelerator == a.model and abs(share.accelerator_count - a.count) <= TOLERANCE
        for a in demand.accelerators
    )


def _has_its_devices(share: Share, models: tuple[str, ...]) -> bool:
    """Each device once, and of the model that it is said to be."""
    return len(set(share.devices)) == len(share.devices) and all(
        d < len(models) and models[d] == share.accelerator for d in share.devices
    )


def _beyond_quota(
    state: State, record: Record | None, action: Place, use: dict[str, dict[str, float]]
) -> Iterator[str]:
    if record is None:
        return
    team = state.fleet.team(record.workload.team)
    held = use.setdefault(team.name, {})
    before = dict(held)
    for placement in action.placements:
        add_share(held, placement.share)
    for resource, limit in team.quota.items():
        if held.get(resource, 0.0) > max(limit, before.get(resource, 0.0)) + TOLERANCE:
            yield f"{action.key} takes team {team.name} beyond its quota of {resource}"


def _stopping(state: State, action: Stop, ended: set[str], *, takes_turns: bool) -> Iterator[str]:
    record = state.live.get(action.key)
    if record is None or record.attempt is None or record.attempt.number != action.number:
        yield f"{action.key}: attempt {action.number} is stopped but not running"
    elif record.status is Status.STOPPING or action.key in ended:
        yield f"{action.key} is stopped twice"
    elif action.cause is EndCause.PREEMPTED:
        winner = state.waiting.get(action.stopped_for)
        lower = winner is not None and record.workload.priority < winner.workload.priority
        is_over = takes_turns and not action.stopped_for and shares(record.workload)
        if not is_over and (not lower or not record.workload.preemptible):
            yield f"{action.key} may not be preempted for {action.stopped_for or 'nobody'}"


def _removing(state: State, decision: Decision) -> Iterator[str]:
    removed = {action.name for action in decision.actions if isinstance(action, RemoveNode)}
    if not removed:
        return
    holders = [(r.key, r.attempt.placements) for r in state.live.values() if r.attempt is not None]
    holders += [(action.key, action.placements) for action in decision.actions if isinstance(action, Place)]
    for key, placements in holders:
        for placement in placements:
            if placement.node in removed:
                yield f"{placement.node} is removed but {key} is on it"


def _waiting(state: State, decision: Decision, placed: set[str]) -> Iterator[str]:
    for key in state.waiting:
        if (key in placed) == (key in decision.waiting):
            yield f"{key} is {'both placed and waiting' if key in placed else 'waiting without a reason'}"
    for key, index in decision.waiting.items():
        if key not in state.waiting and key not in state.live:
            yield f"{key} has a reason but neither waits nor starts"
        if not 0 <= index < len(decision.reasons):
            yield f"{key} has reason {index}, which is not there"
    for why in decision.reasons:
        if why.token not in _TOKENS:
            yield f"there is no reason {why.token}"
