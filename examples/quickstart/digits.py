"""Recognise handwritten digits: choose a small neural network by cross-validation, then judge it on data it never saw.

    python digits.py

An urgent job of some ten seconds. Writes metrics.json; reports each fit and the final figures as progress.
"""

import json
import os
import warnings
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import suanli

WIDTHS = (32, 64, 128)
PENALTIES = (1e-4, 1e-1, 1.0)
FOLDS = 3


def main() -> None:
    warnings.filterwarnings(
        "ignore", category=ConvergenceWarning
    )  # sixty passes over the data are meant to be all
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    train_x, validation_x, train_y, validation_y = map(np.asarray, parts)
    width, penalty = choose(train_x, train_y)
    chosen = network(width, penalty).fit(train_x, train_y)
    metrics = judge(validation_y, chosen.predict(validation_x))
    suanli.progress(fits(), fits(), metrics)

    output = Path(os.environ.get("SUANLI_OUTPUT_DIR", "output/digits"))
    output.mkdir(parents=True, exist_ok=True)
    report = json.dumps({**metrics, "width": width, "penalty": penalty}, indent=2)
    (output / "metrics.json").write_text(report, encoding="utf-8")
    print(report)


def choose(images: np.ndarray, labels: np.ndarray) -> tuple[int, float]:
    """The width and penalty with the best mean accuracy over the folds of the training part."""
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(images, labels))
    scores: dict[tuple[int, float], float] = {}
    done = 0
    for width, penalty in product(WIDTHS, PENALTIES):
        right = list[float]()
        for fit_on, test_on in folds:
            model = network(width, penalty).fit(images[fit_on], labels[fit_on])
            right.append(float(accuracy_score(labels[test_on], model.predict(images[test_on]))))
            done += 1
            suanli.progress(done, fits(), {"fold_accuracy": right[-1]})
        scores[width, penalty] = float(np.mean(right))
        print(f"width {width}  penalty {penalty:g}  accuracy {scores[width, penalty]:.4f}", flush=True)
    return max(scores, key=scores.__getitem__)


def network(width: int, penalty: float):
    return make_pipeline(
        StandardScaler(), MLPClassifier((width,), alpha=penalty, max_iter=60, tol=0, random_state=0)
    )


def fits() -> int:
    return len(WIDTHS) * len(PENALTIES) * FOLDS + 1


def judge(truth: np.ndarray, guessed: np.ndarray) -> dict[str, float]:
    precision, recall, f1, _ = precision_recall_fscore_support(truth, guessed, average="macro")
    accuracy = accuracy_score(truth, guessed)
    return {
        "accuracy": float(accuracy),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }


if __name__ == "__main__":
    main()
