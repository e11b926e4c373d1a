"""From one round of sharing to the next: what each has had, fractions anew if jobs came or went, who has its turn."""

import msgspec
import numpy as np

from suanli.domain.decision import Rounds, Share
from suanli.kernel.sharers import Sharers
from suanli.kernel.state import State
from suanli.policies.parts import InRounds
from suanli.policies.sharing.agnostic import believed
from suanli.policies.sharing.rounds import DIVIDE_AFTER_S, ROUND_S, Ledger, divided, fastest_first, turns
from suanli.policies.sharing.values import isolated_speed
from suanli.policies.table import Floats


def next_round(
    state: State, who: Sharers, rule: InRounds, before: Rounds | None, now_s: float, rng: np.random.Generator
) -> Rounds:
    """The round that begins now. `before.shares` are of those among whom was divided last."""
    if before is None or before.models != who.models:
        before = _first(who, now_s)
    ledger = _ledger(who, before, state, now_s)
    shares, divided_s, devices = _kept(who, before, ledger), before.divided_s, before.devices
    if _is_due(who, before, now_s):
        fair_s = _fair_s(who, before)
        x = rule.allocation(msgspec.structs.replace(who.sharing, fair_s=fair_s))
        ledger = divided(ledger, x, now_s - divided_s if np.isfinite(divided_s) else 0.0)
        fair_speed = isolated_speed(believed(who.sharing) if rule.agnostic else who.sharing)
        shares, divided_s, devices = _shares(who, ledger, fair_s, fair_speed), now_s, _devices(who)
    given = np.array([record.key in shares for record in who.records], dtype=np.bool_)
    types = rng.permutation(len(who.models)).astype(np.intp) if rule.agnostic else fastest_first(who.sharing)
    return Rounds(
        models=who.models,
        began_s=now_s,
        divided_s=divided_s,
        devices=devices,
        total_s=tuple(ledger.total_s.tolist()),
        shares=shares,
        turns=who.by_key(turns(who.sharing, ledger, types, given, strict=rule.strict)),
    )


def _is_due(who: Sharers, before: Rounds, now_s: float) -> bool:
    """Whether to divide anew: jobs or devices came or went, and it is time, or nobody is left who had a turn."""
    keys = {record.key for record in who.records}
    came_or_went = before.shares.keys() != keys or before.devices != _devices(who)
    return came_or_went and (now_s - before.divided_s >= DIVIDE_AFTER_S or keys.isdisjoint(before.turns))


def _first(who: Sharers, now_s: float) -> Rounds:
    nothing = (0.0,) * len(who.models)
    return Rounds(
        models=who.models,
        began_s=now_s,
        divided_s=-np.inf,
        devices=(),
        total_s=nothing,
        shares={},
        turns={},
    )


def _devices(who: Sharers) -> tuple[float, ...]:
    return tuple(who.sharing.capacity.tolist())


def _ledger(who: Sharers, before: Rounds, state: State, now_s: float) -> Ledger:
    """What was remembered, and what was had in the last round; those who came meanwhile have been given nothing."""
    n, m = len(who.records), len(who.models)
    x, held_s, deficit_s = np.zeros((n, m)), np.full((n, m), ROUND_S / 2), np.zeros((n, m))
    total_s = np.array(before.total_s)
    row = {record.key: i for i, record in enumerate(who.records)}
    for key, share in before.shares.items():
        i = row.get(key)
        if i is not None:
            x[i], held_s[i], deficit_s[i] = share.fractions, share.held_s, share.deficit_s
    for key, model in before.turns.items():
        j, had_s = who.models.index(model), _had_s(state, key, before.began_s, now_s)
        total_s[j] += had_s
        if key in row:
            held_s[row[key], j] += had_s
    return Ledger(x, held_s, deficit_s, total_s)


def _had_s(state: State, key: str, began_s: float, now_s: float) -> float:
    """Seconds of its turn: to its end, if it has ended."""
    record = state.records.get(key)
    if record is None:
        return 0.0
    return (now_s if record.ended_s is None else min(record.ended_s, now_s)) - began_s


def _fair_s(who: Sharers, before: Rounds) -> Floats:
    """float[n]: what the work done so far would have taken with the equal shares that there were meanwhile."""
    fair_s = np.zeros(len(who.records))
    for i, (record, done) in enumerate(zip(who.records, who.sharing.done.tolist(), strict=True)):
        share = before.shares.get(record.key)
        if share is not None:
            fair_s[i] = share.fair_s + max(0.0, done - share.done) / max(share.fair_speed, 1e-300)
    return fair_s


def _kept(who: Sharers, before: Rounds, ledger: Ledger) -> dict[str, Share]:
    """Nothing was divided: the shares with what was had since. Those who have gone stay until the next division."""
    shares = dict(before.shares)
    for i, record in enumerate(who.records):
        share = shares.get(record.key)
        if share is not None:
            held_s = tuple(ledger.held_s[i].tolist())
            shares[record.key] = msgspec.structs.replace(share, held_s=held_s)
    return shares


def _shares(who: Sharers, ledger: Ledger, fair_s: Floats, fair_speed: Floats) -> dict[str, Share]:
    return {
        record.key: Share(
            fractions=tuple(ledger.x[i].tolist()),
            held_s=tuple(ledger.held_s[i].tolist()),
            deficit_s=tuple(ledger.deficit_s[i].tolist()),
            fair_s=float(fair_s[i]),
            fair_speed=float(fair_speed[i]),
            done=float(who.sharing.done[i]),
        )
        for i, record in enumerate(who.records)
    }
