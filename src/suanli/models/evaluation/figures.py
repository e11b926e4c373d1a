"""The figures of an evaluation, with how sure they are. Pure, but for the seed that is given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from suanli.domain.errors import UsageError
from suanli.models.evaluation import metrics
from suanli.models.evaluation.asking import Answers, Row
from suanli.models.evaluation.datasets import CLASSIFICATION, EMBEDDINGS, LANGUAGE, PAIRS
from suanli.models.evaluation.intervals import Statistic, intervals

SPEED = ("latency_p50_s", "latency_p95_s", "throughput_per_s")
NAMES: Mapping[str, tuple[str, ...]] = {
    CLASSIFICATION: (
        "accuracy", "precision_micro", "recall_micro", "f1_micro", "precision_macro", "recall_macro", "f1_macro",
    ),
    LANGUAGE: ("perplexity", "bits_per_byte"),
    EMBEDDINGS: ("cosine_fidelity", "cosine_fidelity_min"),
    PAIRS: ("spearman",),
}  # fmt: skip
"""Of each task, beside SPEED."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """`intervals` hold 95 % of what other samples of the same kind would give; times have none."""

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    samples: int


def figures(
    kind: str, rows: Sequence[Row], answers: Answers, *, seed: int, against: Answers | None = None
) -> Figures:
    """Of the rows that were answered, by both where EMBEDDINGS are held `against` those of another version.

    Raises UsageError where there is none, or where the answers cannot be compared.
    """
    positions = [at for at in answers.positions if against is None or at in against.said]
    if not positions:
        raise UsageError("No row was answered.", remedy="Let it go on longer.", code="SL-EVALUATE-NOTHING")
    said = [answers.said[at] for at in positions]
    other = [against.said[at] for at in positions] if against else []
    statistic = _STATISTIC[kind]([rows[at] for at in positions], said, other)
    seconds = np.array([answers.seconds[at] for at in positions])
    quality = dict(statistic(np.arange(len(positions))))
    return Figures(
        metrics={**quality, **metrics.speed(seconds, answers.elapsed_s)},
        intervals=intervals(statistic, len(positions), seed),
        samples=len(positions),
    )


def chosen(found: Figures, names: Sequence[str]) -> Figures:
    """Only the figures of these names, all where there are none. Raises UsageError for one that is not among them."""
    unknown = sorted(set(names) - set(found.metrics))
    if unknown:
        raise UsageError(
            f"There is no figure {', '.join(unknown)} of this task.",
            remedy=f"Choose among {', '.join(found.metrics)}.",
            code="SL-EVALUATE-METRIC",
        )
    if not names:
        return found
    return msgspec.structs.replace(
        found,
        metrics={name: found.metrics[name] for name in names},
        intervals={name: both for name, both in found.intervals.items() if name in names},
    )


def _classification(rows: Sequence[Row], said: Sequence[str], other: Sequence[Any]) -> Statistic:
    wanted = [str(row["label"]) for row in rows]
    if not set(wanted) & set(said):
        raise UsageError(
            "The model answers with none of the labels of the data.",
            remedy="Let both use the same labels; a transformers model names its own in `id2label` of config.json.",
            evidence={"answered": sorted(set(said))[:10], "labels": sorted(set(wanted))[:10]},
            code="SL-EVALUATE-LABELS",
        )
    expected, predicted, count = metrics.coded(wanted, said)
    return lambda at: metrics.classification(expected[at], predicted[at], count)


def _language(rows: Sequence[Row], said: Sequence[tuple[float, ...]], other: Sequence[Any]) -> Statistic:
    scored = np.array(said)
    return lambda at: metrics.language(scored[at, 0], scored[at, 1], scored[at, 2])


def _embeddings(rows: Sequence[Row], said: Sequence[Any], other: Sequence[Any]) -> Statistic:
    first, second = np.array(said), np.array(other)
    if first.shape != second.shape:
        raise UsageError(
            f"The versions' vectors have {first.shape[1:]} and {second.shape[1:]} numbers.",
            remedy="Compare versions of one model.",
            code="SL-EVALUATE-WIDTH",
        )
    cosine = metrics.cosines(first, second)
    return lambda at: metrics.fidelity(cosine[at])


def _pairs(rows: Sequence[Row], said: Sequence[Any], other: Sequence[Any]) -> Statistic:
    both, scores = np.array(said), np.array([float(row["score"]) for row in rows])
    cosine = metrics.cosines(both[:, 0], both[:, 1])
    return lambda at: metrics.correlation(scores[at], cosine[at])


_STATISTIC: Mapping[str, Callable[[Sequence[Row], Sequence[Any], Sequence[Any]], Statistic]] = {
    CLASSIFICATION: _classification,
    LANGUAGE: _language,
    EMBEDDINGS: _embeddings,
    PAIRS: _pairs,
}
