"""The arithmetic of what fits, from files alone."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.models.files import onnx

from suanli.domain.errors import UsageError
from suanli.serving.runtime.memory import Cache, cache_token_bytes, context_of, fits, weights_bytes

MIB = 2**20
CACHE = Cache(batch=8, context=2048, token_bytes=22 * 1024)


def test_weights_and_cache_with_a_margin_and_the_libraries_are_compared_with_the_plan() -> None:
    fit = fits(4096 * MIB, CACHE, 450 * MIB, 8192 * MIB)
    assert fit.need_bytes == pytest.approx(1.15 * (4096 + 352) * MIB + 450 * MIB, abs=1)
    assert fit.holds
    assert fit.sentence == (
        "the model fits: weights 4GiB + cache 352MiB (8 sequences × 2048 tokens × 22KiB) + 15% margin 667MiB"
        " + libraries 450MiB = 5.43GiB of 8GiB"
    )


def test_what_does_not_fit_is_told_what_would() -> None:
    fit = fits(4096 * MIB, CACHE, 450 * MIB, 5400 * MIB)
    assert not fit.holds
    assert fit.sentence.endswith(
        "= 5.43GiB of 5.27GiB; give it memory: 5.5GiB, or batches of at most 4 (--batch-max 4),"
        " or at most 1212 tokens each (--context-max 1212)"
    )
    hopeless = fits(4096 * MIB, CACHE, 450 * MIB, 2048 * MIB)
    assert hopeless.sentence.endswith("of 2GiB; give it memory: 5.5GiB")


@given(
    st.integers(0, 2**36),
    st.integers(1, 64),
    st.integers(1, 8192),
    st.integers(1, 2**20),
    st.integers(0, 2**38),
)
def test_the_batch_that_is_named_fits_and_one_more_does_not(
    weights: int, batch: int, context: int, token: int, memory_max: int
) -> None:
    def need(sequences: int) -> bool:
        cache = Cache(batch=sequences, context=context, token_bytes=token)
        return fits(weights, cache, 2**28, memory_max).holds

    most = fits(weights, Cache(batch=batch, context=context, token_bytes=token), 2**28, memory_max).batch_max
    assert not most or need(most)
    assert not need(most + 1)


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int]]]) -> None:
    header = {
        name: {"dtype": kind, "shape": shape, "data_offsets": [0, 0]}
        for name, (kind, shape) in tensors.items()
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def test_weights_are_counted_by_the_number_that_they_become(tmp_path: Path) -> None:
    write_safetensors(
        tmp_path / "model-00001-of-00002.safetensors", {"a": ("BF16", [10, 20]), "b": ("I8", [7])}
    )
    write_safetensors(tmp_path / "model-00002-of-00002.safetensors", {"c": ("F32", [5]), "one": ("F32", [])})
    write_safetensors(tmp_path / "optimiser.safetensors", {"a": ("F32", [1000])})
    assert weights_bytes(tmp_path, "transformers") == 200 * 2 + 7 + 6 * 4
    assert weights_bytes(tmp_path, "transformers", floats_as=4) == 200 * 4 + 7 + 6 * 4


def test_of_files_side_by_side_only_those_are_counted_that_are_loaded(tmp_path: Path) -> None:
    assert weights_bytes(tmp_path, "onnx") == 0
    (tmp_path / "chat.gguf").write_bytes(bytes(50))
    assert weights_bytes(tmp_path, "python") == 50
    (tmp_path / "model_quantized.onnx").write_bytes(onnx("gone.data"))
    assert weights_bytes(tmp_path, "onnx") == len(onnx("gone.data"))
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(onnx("a.data", "b.data"))
    (tmp_path / "onnx" / "a.data").write_bytes(bytes(1000))
    (tmp_path / "onnx" / "b.data").write_bytes(bytes(500))
    assert weights_bytes(tmp_path, "onnx") == len(onnx("a.data", "b.data")) + 1500
    write_safetensors(tmp_path / "model.safetensors", {"a": ("F32", [5])})
    assert [weights_bytes(tmp_path, name) for name in ("transformers", "python")] == [20, 20]


def test_a_file_that_is_no_onnx_counts_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(bytes(100))
    assert weights_bytes(tmp_path, "onnx") == 100


@pytest.mark.parametrize("content", [b"", b"abc", struct.pack("<Q", 2**60), struct.pack("<Q", 3) + b"{{{"])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match="is not a safetensors file"):
        weights_bytes(tmp_path, "transformers")


@pytest.mark.parametrize(
    ("config", "token_bytes", "context"),
    [
        # Llama-3.1-8B: 32 layers, 8 key-value heads of 128: 128 KiB a token in bf16
        ({"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096,
          "max_position_embeddings": 131072}, 128 * 1024, 131072),
        # GPT-2: 12 layers, width 768: 36 KiB a token in 2 bytes
        ({"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}, 36 * 1024, 1024),
        # heads of a width of their own
        ({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "head_dim": 256}, 8192, 0),
        ({}, 0, 0),
    ],
)  # fmt: skip
def test_a_tokens_keys_and_values_follow_from_the_config(
    config: dict[str, int], token_bytes: int, context: int
) -> None:
    assert cache_token_bytes(config, 2) == token_bytes
    assert context_of(config) == context
