"""What the log and the decisions become on the page."""

from suanli.domain import events as ev
from suanli.domain.decision import Decision
from suanli.domain.reasons import ReasonCode, reason
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause
from suanli.reports.timeline import run_spans, wait_spans


def _entries(*happened: tuple[float, ev.Event]) -> list[ev.Entry]:
    return [ev.Entry(seq=i, at_s=at_s, actor="t", event=event) for i, (at_s, event) in enumerate(happened)]


def _placed(key: str, number: int) -> ev.Placed:
    return ev.Placed(key=key, number=number, placements=(Placement("n0", Share(cpus=1)),))


def test_an_attempt_is_a_span_from_its_placing_to_its_certain_end() -> None:
    entries = _entries(
        (1.0, _placed("gpt", 1)),
        (2.0, ev.Started(key="gpt", number=1)),
        (9.0, ev.Ended(key="gpt", number=1, cause=EndCause.PREEMPTED)),
        (12.0, _placed("gpt", 2)),
    )
    first, second = run_spans(entries, now_s=20.0)
    assert (first.placed_s, first.started_s, first.to_s, first.outcome) == (1.0, 2.0, 9.0, "preempted")
    assert (second.number, second.started_s, second.to_s, second.outcome) == (2, None, 20.0, "running")


def _decision(at_s: float, **tokens: ReasonCode) -> Decision:
    reasons = tuple(reason(code) for code in tokens.values())
    return Decision(policy="p", at_s=at_s, reasons=reasons, waiting={key: i for i, key in enumerate(tokens)})


def test_waiting_for_one_reason_over_many_decisions_is_one_span() -> None:
    busy, behind = ReasonCode.RESOURCES_BUSY, ReasonCode.BEHIND_HIGHER_PRIORITY
    decisions = [_decision(1.0, a=busy), _decision(2.0, a=busy, b=busy), _decision(5.0, b=behind)]
    spans = {(s.key, s.token): (s.from_s, s.to_s) for s in wait_spans(decisions, now_s=9.0)}
    assert spans == {
        ("a", "ResourcesBusy"): (1.0, 5.0),
        ("b", "ResourcesBusy"): (2.0, 5.0),
        ("b", "BehindHigherPriority"): (5.0, 9.0),
    }
