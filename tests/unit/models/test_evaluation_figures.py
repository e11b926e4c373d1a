"""Figures of evaluations: against scikit-learn, against what one computes by hand, and for any seed."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.metrics.pairwise import cosine_similarity

from suanli.domain.errors import UsageError
from suanli.models.evaluation import metrics
from suanli.models.evaluation.asking import Answers
from suanli.models.evaluation.datasets import CLASSIFICATION, EMBEDDINGS, LANGUAGE, PAIRS
from suanli.models.evaluation.figures import chosen, figures
from suanli.models.evaluation.intervals import intervals
from suanli.models.evaluation.names import lower_is_better
from suanli.models.evaluation.splits import folds, parse_split


def answered(said: list) -> Answers:
    return Answers(dict(enumerate(said)), {at: 0.01 * (at + 1) for at in range(len(said))}, 2.0)


@pytest.mark.parametrize("seed", range(5))
def test_classification_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels = ["cat", "dog", "eel", "fox"]
    expected = rng.choice(labels[:3], 200).tolist()
    predicted = [label if rng.random() < 0.6 else str(rng.choice(labels)) for label in expected]
    found = metrics.classification(*metrics.coded(expected, predicted))
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(expected, predicted))
    for average in ("micro", "macro"):
        never: Any = 0
        p, r, f, _ = sklearn_metrics.precision_recall_fscore_support(
            expected, predicted, average=average, zero_division=never
        )
        told = [found[f"{name}_{average}"] for name in ("precision", "recall", "f1")]
        assert told == pytest.approx([p, r, f])


def test_classification_by_hand():
    found = metrics.classification(*metrics.coded(["a", "a", "a", "b"], ["a", "a", "b", "b"]))
    assert found["accuracy"] == 0.75
    assert found["precision_macro"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["recall_macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["f1_macro"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_perplexity_and_bits_per_byte_by_hand():
    """Every token has a chance of a quarter, and is two bytes long: perplexity 4, one bit a byte."""
    likelihood = np.array([3 * math.log(0.25), 5 * math.log(0.25)])
    found = metrics.language(likelihood, np.array([3.0, 5.0]), np.array([6.0, 10.0]))
    assert found["perplexity"] == pytest.approx(4)
    assert found["bits_per_byte"] == pytest.approx(1)


def test_cosines_by_hand_and_against_scikit_learn():
    first, second = np.array([[1.0, 0], [1, 1], [0, 0]]), np.array([[0.0, 2], [2, 2], [1, 0]])
    assert metrics.cosines(first, second) == pytest.approx([0, 1, 0])
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(20, 7)), rng.normal(size=(20, 7))
    expected = cosine_similarity(first, second).diagonal()
    assert metrics.cosines(first, second) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scores", "cosine", "rho"),
    [
        ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.9], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),  # 1 - 6·4 / (5·24)
    ],
)
def test_spearman_by_hand(scores, cosine, rho):
    assert metrics.correlation(np.array(scores), np.array(cosine)) == {"spearman": pytest.approx(rho)}


def test_there_is_no_correlation_with_a_constant():
    assert metrics.correlation(np.ones(5), np.arange(5.0)) == {}


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("accuracy", False),
        ("perplexity", True),
        ("latency_p95_s", True),
        ("throughput_per_s", False),
        ("val_loss", True),
        ("f1_macro", False),
    ],
)
def test_which_way_a_figure_is_better_is_told_by_its_name(name, lower):
    assert lower_is_better(name) is lower


def test_an_interval_is_the_same_for_the_same_seed_and_covers_the_mean_of_coins():
    """Of 100 throws with 50 heads the standard error is 0.05: 95 % lie within about 0.1."""
    throws = np.arange(100) % 2
    both = intervals(lambda at: {"heads": float(throws[at].mean())}, 100, seed=1)["heads"]
    assert both == intervals(lambda at: {"heads": float(throws[at].mean())}, 100, seed=1)["heads"]
    assert both == pytest.approx((0.4, 0.6), abs=0.03)
    assert intervals(lambda at: {"heads": 1.0}, 1, seed=1) == {}


def test_figures_of_each_task():
    rows = [{"input": i, "label": str(i % 2)} for i in range(4)]
    found = figures(CLASSIFICATION, rows, answered(["0", "1", "0", "0"]), seed=0)
    assert (found.metrics["accuracy"], found.samples, found.metrics["throughput_per_s"]) == (0.75, 4, 2.0)
    low, high = found.intervals["accuracy"]
    assert low <= 0.75 <= high
    assert "latency_p50_s" not in found.intervals
    texts = [{"text": "ab"}] * 2
    assert figures(LANGUAGE, texts, answered([(math.log(0.5), 1, 2)] * 2), seed=0).metrics["perplexity"] == 2
    vectors = answered([np.array([1.0, 0]), np.array([0.0, 1])])
    same = figures(EMBEDDINGS, texts, vectors, seed=0, against=vectors)
    assert same.metrics["cosine_fidelity"] == 1
    pairs = [{"a": "x", "b": "y", "score": score} for score in (1, 2, 3)]
    angles = [np.array([[1.0, 0], [math.cos(t), math.sin(t)]]) for t in (1.5, 0.8, 0.1)]
    assert figures(PAIRS, pairs, answered(angles), seed=0).metrics["spearman"] == pytest.approx(1)


def test_what_was_answered_before_an_interruption_is_what_figures_are_of():
    rows = [{"input": i, "label": "x"} for i in range(10)]
    answers = Answers({0: "x", 7: "y"}, {0: 0.1, 7: 0.1}, 1.0, True)
    found = figures(CLASSIFICATION, rows, answers, seed=0)
    assert (found.samples, found.metrics["accuracy"]) == (2, 0.5)


def test_labels_that_have_nothing_in_common_are_told():
    with pytest.raises(UsageError) as refused:
        figures(CLASSIFICATION, [{"input": 1, "label": "cat"}], answered(["LABEL_0"]), seed=0)
    assert refused.value.evidence == {"answered": ["LABEL_0"], "labels": ["cat"]}


def test_a_figure_that_there_is_not_is_refused_by_name():
    rows = [{"input": 1, "label": "x"}] * 2
    found = figures(CLASSIFICATION, rows, answered(["x", "x"]), seed=0)
    assert list(chosen(found, ["accuracy"]).metrics) == ["accuracy"]
    with pytest.raises(UsageError, match="perplexity"):
        chosen(found, ["perplexity"])


@pytest.mark.parametrize("count", [5, 17, 100])
@pytest.mark.parametrize("split", ["kfold:5", "kfold:2", "holdout:0.2"])
def test_every_sample_is_held_out_once_and_never_seen_in_training(count, split):
    parts = folds(count, parse_split(split), seed=3)
    assert parts == folds(count, parse_split(split), seed=3)
    for part in parts:
        assert sorted((*part.train, *part.test)) == list(range(count))
    if split.startswith("kfold"):
        assert sorted(at for part in parts for at in part.test) == list(range(count))
    else:
        assert len(parts[0].test) == round(0.2 * count)


@pytest.mark.parametrize("text", ["", "kfold:1", "kfold:101", "holdout:0", "holdout:1", "holdout:.0", "half"])
def test_what_is_no_split_is_refused(text):
    with pytest.raises(UsageError):
        parse_split(text)


def test_more_folds_than_samples_are_refused():
    with pytest.raises(UsageError, match="too few"):
        folds(3, parse_split("kfold:5"), seed=0)
