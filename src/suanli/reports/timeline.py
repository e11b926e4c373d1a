"""From the event log to spans: what ran where from when to when, and what waited why."""

from collections.abc import Iterable, Sequence

import msgspec

from suanli.domain import events as ev
from suanli.domain.decision import Decision


class RunSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: placed, running from `started_s` (None: never came up), gone at `to_s`; `outcome` says how."""

    key: str
    number: int
    nodes: tuple[str, ...]
    placed_s: float
    started_s: float | None
    to_s: float
    outcome: str
    detail: str = ""


class WaitSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of waiting for one reason."""

    key: str
    token: str
    from_s: float
    to_s: float


def run_spans(entries: Iterable[ev.Entry], now_s: float) -> tuple[RunSpan, ...]:
    """All attempts in order of placing; one that still runs ends now, with the outcome `running`. O(entries)."""
    open_spans: dict[str, RunSpan] = {}
    done: list[RunSpan] = []
    for entry in entries:
        event = entry.event
        if isinstance(event, ev.Placed):
            open_spans[event.key] = RunSpan(
                key=event.key,
                number=event.number,
                nodes=tuple(placement.node for placement in event.placements),
                placed_s=entry.at_s,
                started_s=None,
                to_s=now_s,
                outcome="running",
            )
        elif isinstance(event, ev.Started) and event.key in open_spans:
            open_spans[event.key] = msgspec.structs.replace(open_spans[event.key], started_s=entry.at_s)
        elif isinstance(event, ev.Ended) and event.key in open_spans:
            span = open_spans.pop(event.key)
            done.append(
                msgspec.structs.replace(span, to_s=entry.at_s, outcome=event.cause.value, detail=event.detail)
            )
    return tuple(sorted([*done, *open_spans.values()], key=lambda span: (span.placed_s, span.key)))


def wait_spans(decisions: Sequence[Decision], now_s: float) -> tuple[WaitSpan, ...]:
    """For how long each workload waited for which reason; alike neighbours are one span. O(decisions · waiting)."""
    open_spans: dict[str, WaitSpan] = {}
    done: list[WaitSpan] = []
    for decision in sorted(decisions, key=lambda decision: decision.at_s):
        tokens = {key: decision.reasons[index].token for key, index in decision.waiting.items()}
        over = [key for key, span in open_spans.items() if tokens.get(key) != span.token]
        done += [msgspec.structs.replace(open_spans.pop(key), to_s=decision.at_s) for key in over]
        for key, token in tokens.items():
            if key not in open_spans:
                open_spans[key] = WaitSpan(key=key, token=token, from_s=decision.at_s, to_s=now_s)
    return tuple(sorted([*done, *open_spans.values()], key=lambda span: (span.from_s, span.key)))
