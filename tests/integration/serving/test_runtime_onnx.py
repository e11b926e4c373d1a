"""Graphs behind a runtime: int8 by its tensors' names, and text classification."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from onnx_files import export, int8_product
from runtime_replica import Replica, replica, save_tokenizer


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("product")
    (folder / "model.onnx").write_bytes(int8_product([[1, -2, 3], [100, 0, -128]]))
    with replica("--runtime", "onnx", model_dir=folder) as running:
        yield running.wait_ready()


def test_an_int8_graph_is_asked_by_its_tensors_names(product: Replica) -> None:
    answer = product.ask("/predict", {"inputs": [{"x": [[1, 2], [255, 0]]}, {"x": [[0, 1]]}]})
    assert answer.json()["outputs"] == [{"y": [[201, -2, -253], [255, -510, 765]]}, {"y": [[100, 0, -128]]}]


@pytest.mark.parametrize(
    "given",
    [
        {"z": [[1, 2]]},
        {"x": [[1, 2, 3]]},
        {"x": [[-1, 2]]},
        {"x": [["a", 2]]},
        {"x": [[1], [2, 3]]},
        {"x": 5},
        [1],
        {},
    ],
)
def test_tensors_that_do_not_fit_are_told_what_the_graph_takes(product: Replica, given: object) -> None:
    answer = product.ask("/predict", {"inputs": [given]})
    assert answer.status_code == 400
    assert "x tensor(uint8) ['n', 2]" in answer.json()["error"]["message"]


def test_texts_are_classified_as_by_the_model_that_was_exported(tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = save_tokenizer(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.5, id2label={0: "good", 1: "bad", 2: "so so"}, pad_token_id=0,
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    export(model, tmp_path / "model.onnx", "logits")
    texts = ["the quick brown fox", "lazy", "jumps over the lazy dog while sixty wizards quote"]
    with replica("--runtime", "onnx", model_dir=tmp_path) as running:
        running.wait_ready()
        outputs = running.ask("/predict", {"inputs": texts}).json()["outputs"]
        assert running.ask("/predict", {"inputs": [3]}).status_code == 400
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), pad_token="<end>")
    with torch.inference_mode():
        chances = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits.softmax(-1)
    for given, row in zip(outputs, chances.tolist(), strict=True):
        assert {one["label"]: one["score"] for one in given} == pytest.approx(
            dict(zip(["good", "bad", "so so"], row, strict=True)), abs=1e-5
        )
        assert given[0]["score"] == max(one["score"] for one in given)
