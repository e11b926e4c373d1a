"""Sharing accelerators over time: who has its turn now, on which model, and what a policy must remember for that."""

from collections.abc import Mapping

import msgspec
import numpy as np

from suanli.domain.decision import Memory, Rounds
from suanli.kernel.rounds import next_round
from suanli.kernel.sharers import Sharers
from suanli.kernel.state import State
from suanli.policies.parts import AtOnce, InRounds
from suanli.policies.sharing.rounds import ROUND_S
from suanli.policies.sharing.values import Sharing

LOOK_AGAIN_S = 360.0
"""Policies without rounds decide again after that time at the latest, as what has been had changes who goes first."""


class Round(msgspec.Struct, frozen=True):
    """`model` of all who have their turn, by key; what to remember, when to decide again even if nothing happens."""

    model: Mapping[str, str]
    rounds: Rounds | None = None
    wake_s: float | None = None


def turns_now(
    state: State,
    who: Sharers,
    rule: InRounds | AtOnce,
    memory: Memory,
    now_s: float,
    rng: np.random.Generator,
) -> Round:
    """Decide who of `who` runs where. Within a round that is settled, whatever happens."""
    if not who.records:
        return Round({})
    if isinstance(rule, AtOnce):
        reserved = {key: r.placements[0].share.accelerator for key, r in memory.reservations.items()}
        chosen = rule.choice(_with_reserved(who, reserved))
        return Round(who.by_key(chosen), wake_s=now_s + LOOK_AGAIN_S)
    before = memory.rounds
    if before is not None and before.models == who.models and _lasts(state, before, now_s):
        return Round(before.turns, before, before.began_s + ROUND_S)
    after = next_round(state, who, rule, before, now_s, rng)
    return Round(after.turns, after, now_s + ROUND_S)


def _lasts(state: State, rounds: Rounds, now_s: float) -> bool:
    """A round ends after its time, or when all who had their turn in it have ended."""
    turns = (state.records.get(key) for key in rounds.turns)
    in_time = now_s < rounds.began_s + ROUND_S - 1e-6
    return in_time and any(record is not None and not record.status.is_final for record in turns)


def _with_reserved(who: Sharers, reserved: Mapping[str, str]) -> Sharing:
    """Room that is being made for somebody counts as if it ran there: else it would be taken away again."""
    current = [
        who.models.index(reserved[record.key]) if reserved.get(record.key) in who.models else current
        for record, current in zip(who.records, who.sharing.current.tolist(), strict=True)
    ]
    return msgspec.structs.replace(who.sharing, current=np.array(current, dtype=np.intp))
