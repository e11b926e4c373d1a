"""What holds of every decision, whatever the fleet, the work on it and the queue."""

from collections import defaultdict

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.building import NOW_S, decide, placed, stopped
from tests.property.kernel.situations import (
    DICE,
    SHORT_WAITS_S,
    Situation,
    draw_fleet,
    draw_waiting,
    situations,
    snapshot,
)

from suanli.domain.decision import Decision, Place, Reservation
from suanli.domain.reasons import Tier, code_of
from suanli.domain.record import Record, Status
from suanli.domain.workload import Kind
from suanli.kernel.invariants import violations
from suanli.kernel.outcome import carried_out
from suanli.kernel.state import State
from suanli.policies import registry
from suanli.policies.order.priority import standing
from suanli.reports.sentences import sentence

POLICIES = st.sampled_from([f"{o}+{p}" for o in registry.ORDERS for p in registry.PLACEMENTS])


@settings(max_examples=200)
@given(situations(), POLICIES)
def test_no_node_no_device_and_no_quota_is_ever_overdrawn(situation: Situation, policy: str) -> None:
    """Counted from the records alone, not from the arrays that the step itself looks at."""
    state = situation.state
    decision, _ = decide(state, policy)
    assert violations(state, decision) == ()
    after = carried_out(state, decision, NOW_S)
    plain: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    devices: dict[tuple[str, int], float] = defaultdict(float)
    teams: dict[tuple[str, str], float] = defaultdict(float)
    for record in after.live.values():
        assert record.attempt is not None
        for p in record.attempt.placements:
            plain[p.node][0] += p.share.cpus
            plain[p.node][1] += p.share.memory_bytes
            teams[record.workload.team, "cpus"] += p.share.cpus
            teams[record.workload.team, p.share.accelerator] += p.share.accelerator_count
            for device in p.share.devices:
                devices[p.node, device] += p.share.device_share
    nodes = {node.name: node for node in state.fleet.nodes}
    for name, (cpus, memory_bytes) in plain.items():
        assert cpus <= nodes[name].cpus + 1e-6
        assert memory_bytes <= nodes[name].memory_bytes
    for (name, device), share in devices.items():
        assert device < len(nodes[name].accelerators)
        assert share <= 1.0 + 1e-6
    started_by = {state.records[key].workload.team for key in placed(decision)}
    for team in state.fleet.teams:
        if team.name in started_by:
            before = state.team_use.get(team.name, {})
            for resource, limit in team.quota.items():
                assert teams[team.name, resource] <= max(limit, before.get(resource, 0.0)) + 1e-6


@settings(max_examples=150)
@given(situations(), POLICIES)
def test_gangs_start_whole_on_distinct_nodes_that_can_be_used_and_have_what_is_asked(
    situation: Situation, policy: str
) -> None:
    state = situation.state
    decision, _ = decide(state, policy)
    nodes = {node.name: node for node in state.fleet.nodes}
    for action in decision.actions:
        if not isinstance(action, Place):
            continue
        w = state.records[action.key].workload
        fewest, most = w.elastic_nodes or (w.nodes, w.nodes)
        names = [p.node for p in action.placements]
        assert len(set(names)) == len(names)
        assert fewest <= len(names) <= most
        assert not set(names) & set(state.unusable)
        chosen = {p.share.accelerator for p in action.placements}
        assert len(chosen) == 1
        for p in action.placements:
            assert all(nodes[p.node].accelerators[d] == p.share.accelerator for d in p.share.devices)
            assert w.node_labels.get("zone", nodes[p.node].zone) == nodes[p.node].zone
            if w.demand.accelerators:
                assert any(
                    a.model in chosen and a.count == p.share.accelerator_count for a in w.demand.accelerators
                )


@settings(max_examples=150)
@given(situations(), POLICIES)
def test_everything_that_waits_has_exactly_one_known_reason_with_a_sentence_and_consistent_bits(
    situation: Situation, policy: str
) -> None:
    state = situation.state
    decision, _ = decide(state, policy)
    starting = {key for key, r in state.live.items() if r.status is Status.STARTING}
    loading = {
        key
        for key, r in state.live.items()
        if r.status is Status.RUNNING
        and r.workload.kind.value == "serve"
        and r.attempt
        and r.attempt.ready_s is None
    }
    assert set(decision.waiting) == (set(state.waiting) - set(placed(decision))) | starting | loading
    for key in decision.waiting:
        why = decision.reason_for(key)
        assert why is not None
        code = code_of(why.token)
        assert sentence(why)
        assert why.will_waiting_help <= code.will_waiting_help
        assert why.will_preemption_help <= code.will_preemption_help
        if code.tier is Tier.NEVER_FITS:
            assert not why.will_waiting_help
            assert not why.will_preemption_help
        assert (code.tier is Tier.STARTING) == (key in starting | loading)
    assert set(decision.waiting.values()) == set(range(len(decision.reasons)))


@settings(max_examples=100)
@given(situations(), POLICIES)
def test_a_step_is_a_function_of_its_arguments_and_leaves_them_as_they_were(
    situation: Situation, policy: str
) -> None:
    before = snapshot(situation.state)
    first = decide(situation.state, policy, situation.memory)
    assert snapshot(situation.state) == before
    assert decide(situation.state, policy, situation.memory) == first


@settings(max_examples=100)
@given(situations(), POLICIES, st.randoms(use_true_random=False))
def test_a_state_kept_by_difference_decides_as_one_that_is_built_anew(
    situation: Situation, policy: str, rng
) -> None:
    """To the byte, reasons and their evidence included: what is kept in memory may be dropped at any time."""
    kept, memory = situation.state, situation.memory
    for now_s in (NOW_S, NOW_S + 1):
        decision, memory = decide(kept, policy, memory, now_s)
        kept = carried_out(kept, decision, now_s)
    fresh = State(kept.fleet)
    fresh.set_nodes(kept.fleet, kept.unusable)
    records = list(kept.records.values())
    rng.shuffle(records)
    fresh.apply(records)
    expected = decide(kept, policy, memory, NOW_S + 2)
    found = decide(fresh, policy, memory, NOW_S + 2)
    assert msgspec.json.encode(found, order="deterministic") == msgspec.json.encode(
        expected, order="deterministic"
    )


@settings(max_examples=250)
@given(st.lists(DICE, min_size=1, max_size=5), DICE, st.lists(DICE, min_size=2, max_size=6), POLICIES)
def test_of_two_alike_the_older_of_no_lower_priority_is_never_behind(
    members: list, fleet_dice, dice: list, policy: str
) -> None:
    """Each of a queue stands in it twice or three times, with one demand, one team, and priorities of its own."""
    records: list[Record] = []
    for i, d in enumerate(dice):
        record = draw_waiting(d, i)
        for twin in range(d.pick(2, 3)):
            w = msgspec.structs.replace(record.workload, name=f"w{i}-{twin}", priority=d.pick(50, 60, 90))
            seq = 100 + 10 * twin + i
            records.append(msgspec.structs.replace(record, key=w.name, workload=w, seq=seq))
    state = State(draw_fleet(fleet_dice, members))
    state.apply(records)
    decision, _ = decide(state, policy)
    started = placed(decision)
    for record in records:
        for other in records:
            alike = record.key.partition("-")[0] == other.key.partition("-")[0]
            ahead = record.seq < other.seq and record.workload.priority >= other.workload.priority
            if alike and ahead and other.key in started:
                assert record.key in started, f"{other.key} went past {record.key}"


@settings(max_examples=250)
@given(situations(waits=SHORT_WAITS_S))
def test_preemption_ends_only_what_it_may_for_what_is_above_it_and_nobody_in_vain(
    situation: Situation,
) -> None:
    state = situation.state
    decision, memory = decide(state)
    by_winner: dict[str, list[Record]] = defaultdict(list)
    for key, winner in stopped(decision).items():
        if winner in state.waiting:
            by_winner[winner].append(state.live[key])
    for winner, victims in by_winner.items():
        for victim in victims:
            assert victim.workload.preemptible
            assert victim.status in (Status.STARTING, Status.RUNNING)
            points = standing(float(victim.workload.priority), state.waited_s(victim, NOW_S))
            assert victim.workload.priority <= points
            claim = state.waiting[winner].workload
            if claim.kind is Kind.SERVE and victim.workload.saves:
                points = victim.workload.priority
            assert points < claim.priority
        for spared in (
            victims if len(by_winner) == 1 else ()
        ):  # of several winners, one may profit from another
            assert not _has_room_without(state, decision, memory.reservations, winner, spared.key)


def _has_room_without(
    state: State, decision: Decision, reservations: dict[str, Reservation], winner: str, spared: str
) -> bool:
    """Whether the reserved nodes would have room, on whatever devices, even if one of the victims stayed."""
    after = carried_out(state, decision, NOW_S)
    table = after.table.copy()
    for record in after.live.values():
        if record.status is Status.STOPPING and record.attempt is not None and record.key != spared:
            table.give(record.attempt.placements)
    for key, reservation in reservations.items():
        if key != winner:
            table.take(reservation.placements)
    demand = state.records[winner].workload.demand
    placements = reservations[winner].placements
    accelerator = next((a for a in demand.accelerators if a.model == placements[0].share.accelerator), None)
    fits = table.fitting(table.ask(demand, accelerator, {}))
    return all(fits[table.index[p.node]] for p in placements)
