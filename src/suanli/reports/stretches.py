"""Parts of one time beside each other: how much waited, how soon work started, what got done, what was held."""

from collections.abc import Iterator, Mapping

import msgspec

from suanli.domain.record import Status
from suanli.reports.quantities import duration
from suanli.sim.outcome import Outcome

PROMPT_S = 600.0
"""Who starts within that long has started promptly."""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """From `from_s` to `to_s`. Means are over time, `held` of all accelerators.

    `prompt` is the share of what came (and could have been prompt) that started within PROMPT_S; None: nothing came.
    `longest_wait_s` is for a first start, of those that started meanwhile and of those that still wait.
    """

    from_s: float
    to_s: float
    waiting_mean: float
    waiting_end: int
    prompt: float | None
    longest_wait_s: float
    done_per_hour: float
    held: float


def stretch_of(outcome: Outcome, from_s: float, to_s: float) -> Stretch:
    """O(levels + records + stays)."""
    devices = sum(len(node.accelerators) for node in outcome.fleet.nodes)
    placed_s = {stay.key: stay.placed_s for stay in outcome.stays if stay.number == 1}
    came = [r for r in outcome.records if from_s <= r.submitted_s <= to_s - PROMPT_S]
    prompt = [r for r in came if placed_s.get(r.key, to_s) - r.submitted_s <= PROMPT_S]
    done = [
        r
        for r in outcome.records
        if r.status is Status.SUCCEEDED and r.ended_s is not None and from_s <= r.ended_s < to_s
    ]
    waiting, held = _means(outcome, from_s, to_s)
    return Stretch(
        from_s=from_s,
        to_s=to_s,
        waiting_mean=waiting,
        waiting_end=next((x.waiting for x in reversed(outcome.levels) if x.at_s < to_s), 0),
        prompt=len(prompt) / len(came) if came else None,
        longest_wait_s=max(_waits_s(outcome, placed_s, from_s, to_s), default=0.0),
        done_per_hour=len(done) / (to_s - from_s) * 3600.0,
        held=held / devices,
    )


FIGURES = (
    "waiting, on average",
    "waiting at the end",
    f"started within {PROMPT_S / 60:.0f} min of coming",
    "longest wait for a start",
    "done in an hour",
    "accelerators held",
)


def figures_of(stretch: Stretch) -> tuple[str, ...]:
    """As people read them, in the order of FIGURES."""
    return (
        f"{stretch.waiting_mean:.1f}",
        str(stretch.waiting_end),
        "–" if stretch.prompt is None else f"{stretch.prompt:.0%}",
        duration(stretch.longest_wait_s),
        f"{stretch.done_per_hour:.1f}",
        f"{stretch.held:.0%}",
    )


def _waits_s(outcome: Outcome, placed_s: Mapping[str, float], from_s: float, to_s: float) -> Iterator[float]:
    """How long each had waited when it first started, or by `to_s`."""
    for record in outcome.records:
        starts_s = placed_s.get(record.key, to_s if record.attempts_made == 0 else from_s)
        if record.submitted_s < to_s and starts_s > from_s:
            yield min(starts_s, to_s) - record.submitted_s


def _means(outcome: Outcome, from_s: float, to_s: float) -> tuple[float, float]:
    """Workloads that waited and accelerators that were held, on average over the time."""
    waited = held = 0.0
    ends_s = [level.at_s for level in outcome.levels[1:]] + [to_s]
    for level, end_s in zip(outcome.levels, ends_s, strict=True):
        span_s = max(0.0, min(end_s, to_s) - max(level.at_s, from_s))
        waited += level.waiting * span_s
        held += level.devices * span_s
    return waited / (to_s - from_s), held / (to_s - from_s)
