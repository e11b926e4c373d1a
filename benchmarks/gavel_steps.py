"""Gavel's rounds in whole steps, for what hangs on a single step: who is given what under its `fifo` as shipped.

Turns and what is owed are those of `suanli.policies.sharing.rounds`. What differs from our simulator is how time goes
on in Gavel's (scheduler/scheduler.py): only whole steps fit into a round, which ends with the last of them; and a
division at instant 0 counts for none, so that the next change is followed by another at once.
"""

import msgspec
import numpy as np

from suanli.control.trials import Setting
from suanli.policies.sharing.rounds import DIVIDE_AFTER_S, ROUND_S, Ledger, divided, turns
from suanli.policies.sharing.values import Allocation, Sharing
from suanli.policies.table import Floats, Indices


def ends_s(setting: Setting, allocation: Allocation) -> Floats:
    """float[n]: when each job of the trace ends, where nobody runs to whom nothing was given."""
    sharing = _jobs(setting)
    came_s = np.array([arrival.at_s for arrival in setting.trace.arrivals])
    left, ends_s = sharing.remaining.copy(), np.full(len(came_s), np.nan)
    n, m = sharing.speed.shape
    all_of = Ledger(np.zeros((n, m)), np.full((n, m), ROUND_S / 2), np.zeros((n, m)), np.zeros(m))
    now_s, divided_s, known = float(came_s[0]), 0.0, np.zeros(0, dtype=np.intp)
    while np.isnan(ends_s).any():
        here = np.flatnonzero((came_s <= now_s) & np.isnan(ends_s))
        if not np.array_equal(here, known) and (now_s - divided_s >= DIVIDE_AFTER_S or divided_s == 0.0):
            x = allocation(_of(sharing, here))
            all_of = _with(all_of, here, divided(_part(all_of, here), x, now_s - divided_s))
            known, divided_s = here, now_s
        mine = _of(sharing, here)
        given = np.isin(here, known)
        kind = turns(mine, _part(all_of, here), np.arange(m, dtype=np.intp), given, strict=True)
        runs = here[kind >= 0]
        if not len(runs):
            later_s = came_s[came_s > now_s]
            now_s, divided_s = (float(later_s.min()), divided_s) if len(later_s) else (now_s, 0.0)
            continue
        on = kind[kind >= 0]
        speed = sharing.speed[runs, on]
        steps = np.minimum(np.floor(speed * ROUND_S), left[runs])
        had_s = steps / speed
        left[runs] -= steps
        all_of.held_s[runs, on] += had_s
        np.add.at(all_of.total_s, on, had_s)
        ends_s[runs] = np.where(left[runs] <= 0, now_s + had_s, np.nan)
        now_s += float(had_s.max())
    return ends_s


def _jobs(setting: Setting) -> Sharing:
    models = sorted({model for node in setting.fleet.nodes for model in node.accelerators})
    arrivals = setting.trace.arrivals
    n = len(arrivals)
    return Sharing(
        speed=np.array([[a.workload.speeds.get(model, 0.0) for model in models] for a in arrivals]),
        devices=np.array([float(a.workload.nodes) for a in arrivals]),
        weight=np.ones(n),
        entity=np.zeros(n, dtype=np.intp),
        entity_weight=np.ones(1),
        remaining=np.array([a.work for a in arrivals]),
        elapsed_s=np.zeros(n),
        fair_s=np.zeros(n),
        done=np.zeros(n),
        current=np.full(n, -1, dtype=np.intp),
        seq=np.arange(n),
        deadline_left_s=np.full(n, np.inf),
        capacity=np.array(
            [float(sum(node.accelerators.count(model) for node in setting.fleet.nodes)) for model in models]
        ),
        price=np.ones(len(models)),
    )


def _of(sharing: Sharing, here: Indices) -> Sharing:
    rows = (
        "speed",
        "devices",
        "weight",
        "entity",
        "remaining",
        "elapsed_s",
        "fair_s",
        "done",
        "current",
        "seq",
    )
    rows = (*rows, "deadline_left_s")
    return msgspec.structs.replace(sharing, **{name: getattr(sharing, name)[here] for name in rows})


def _part(ledger: Ledger, here: Indices) -> Ledger:
    return Ledger(ledger.x[here], ledger.held_s[here], ledger.deficit_s[here], ledger.total_s)


def _with(ledger: Ledger, here: Indices, part: Ledger) -> Ledger:
    """The whole ledger after `here` was divided anew; who has gone or not come has nothing."""
    whole = Ledger(
        np.zeros_like(ledger.x),
        np.full_like(ledger.held_s, ROUND_S / 2),
        np.zeros_like(ledger.x),
        part.total_s,
    )
    whole.x[here], whole.held_s[here], whole.deficit_s[here] = part.x, part.held_s, part.deficit_s
    return whole
