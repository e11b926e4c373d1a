"""How far off durations were foreseen: what was known of each job when it came, beside what it took."""

import msgspec
import numpy as np

from suanli.domain.record import Status
from suanli.perf.durations import DurationHistory
from suanli.sim.outcome import Outcome


class Predictions(msgspec.Struct, frozen=True):
    """Of the jobs that were done, `known_share` had a duration that was declared, or learned from likes done before.

    `off_p50` and `off_p90` are the factors by which half and nine in ten of those were off at most.
    """

    known_share: float
    off_p50: float | None
    off_p90: float | None


def predictions_of(outcome: Outcome) -> Predictions | None:
    """None of an oracle, and where nothing was done. O(n log n) and an estimate for each job."""
    done = [r for r in outcome.records if r.status is Status.SUCCEEDED and r.run_s > r.lost_s]
    if outcome.oracle or not done:
        return None
    history, off = DurationHistory(), list[float]()
    ended = sorted(done, key=lambda record: (record.ended_s or 0.0, record.seq))
    before = 0
    for record in done:
        while before < len(ended) and (ended[before].ended_s or 0.0) <= record.submitted_s:
            history.add(ended[before])
            before += 1
        expected_s = history.estimate_s(record)
        if expected_s:
            off.append(abs(float(np.log(expected_s / (record.run_s - record.lost_s)))))
    return Predictions(
        known_share=len(off) / len(done),
        off_p50=float(np.exp(np.percentile(off, 50))) if off else None,
        off_p90=float(np.exp(np.percentile(off, 90))) if off else None,
    )
