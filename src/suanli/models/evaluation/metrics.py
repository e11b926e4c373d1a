"""Figures of quality from answers and what was expected. Pure.

Each function takes arrays of one length, in the order of the samples, and costs O(samples).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]


def coded(expected: Sequence[str], predicted: Sequence[str]) -> tuple[Codes, Codes, int]:
    """Both as numbers from 0 on, and how many labels there are in either."""
    numbers = {label: at for at, label in enumerate(sorted({*expected, *predicted}))}
    return (
        np.array([numbers[label] for label in expected], np.intp),
        np.array([numbers[label] for label in predicted], np.intp),
        len(numbers),
    )


def classification(expected: Codes, predicted: Codes, count: int) -> dict[str, float]:
    """Accuracy, and precision, recall and F1, micro and macro, over the labels that occur on either side.

    A label that was never predicted has precision 0, one that was never expected recall 0, as in scikit-learn.
    """
    hits = np.bincount(expected[expected == predicted], minlength=count)
    wanted, given = np.bincount(expected, minlength=count), np.bincount(predicted, minlength=count)
    occurs = (wanted + given) > 0
    hits, wanted, given = hits[occurs], wanted[occurs], given[occurs]
    precision, recall, f1 = _shares(hits, given), _shares(hits, wanted), _shares(2 * hits, wanted + given)
    micro = float(
        hits.sum() / wanted.sum()
    )  # every sample has one label and gets one: all three are the accuracy
    return {
        "accuracy": micro,
        "precision_micro": micro,
        "recall_micro": micro,
        "f1_micro": micro,
        "precision_macro": float(precision.mean()),
        "recall_macro": float(recall.mean()),
        "f1_macro": float(f1.mean()),
    }


def language(log_likelihood: Floats, tokens: Floats, sizes_bytes: Floats) -> dict[str, float]:
    """Perplexity for each token and bits for each byte of the texts together.

    The second compares models of unlike vocabularies. `log_likelihood` is natural, of each text as a whole.
    """
    nats = -float(log_likelihood.sum())
    per_token = nats / max(1.0, float(tokens.sum()))
    return {
        "perplexity": math.exp(per_token) if per_token < 700 else math.inf,
        "bits_per_byte": nats / math.log(2) / max(1.0, float(sizes_bytes.sum())),
    }


def cosines(first: Floats, second: Floats) -> Floats:
    """The cosine of each pair of rows; 0 where one of them is all zeros."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.divide((first * second).sum(1), lengths, out=np.zeros(len(first)), where=lengths > 0)


def fidelity(cosine: Floats) -> dict[str, float]:
    """How near vectors are to another version's: the mean cosine, and the worst one."""
    return {"cosine_fidelity": float(cosine.mean()), "cosine_fidelity_min": float(cosine.min())}


def correlation(scores: Floats, cosine: Floats) -> dict[str, float]:
    """Spearman's rank correlation; nothing where one side is constant or has less than two values."""
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(cosine) == 0:
        return {}
    rho: Any = spearmanr(scores, cosine)
    return {"spearman": float(rho.statistic)}


def speed(seconds: Floats, elapsed_s: float) -> dict[str, float]:
    """Median and 95th percentile of one answer, and answers a second over all of the time."""
    return {
        "latency_p50_s": float(np.quantile(seconds, 0.5)),
        "latency_p95_s": float(np.quantile(seconds, 0.95)),
        "throughput_per_s": len(seconds) / elapsed_s if elapsed_s > 0 else 0.0,
    }


def _shares(part: NDArray[np.intp], whole: NDArray[np.intp]) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
