"""Classification and speech recognition with small random models, and what inputs must be."""

import asyncio
import base64
import io
import json
import struct
import wave
from pathlib import Path
from typing import Any

import pytest
import torch

from suanli.serving.runtime import pipelines
from suanli.serving.runtime.files import task_of
from suanli.serving.runtime.loaded import Compute, Loaded
from suanli.serving.runtime.options import Options


def served(folder: Path) -> Loaded:
    """As a replica would serve what is in the folder, warmed up."""

    async def scene() -> Loaded:
        options = Options(runtime="transformers", name="x", model_dir=folder, task=task_of(folder))
        loaded = await pipelines.load(options, Compute())
        await loaded.warm_up()
        return loaded

    return asyncio.run(scene())


def infer(loaded: Loaded, *inputs: Any) -> list[Any]:
    async def scene() -> list[Any]:
        assert loaded.infer
        return await loaded.infer(list(inputs))

    return asyncio.run(scene())


def save_letters(folder: Path, special: list[str]) -> int:
    """A tokenizer of single letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {text: at for at, text in enumerate([*special, *"abcdefghijklmnopqrstuvwxyz"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": special[0], "unk_token": special[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(vocabulary)


def test_texts_get_every_label_with_its_score_the_likeliest_first(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=save_letters(tmp_path, ["_"]), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32, initializer_range=1.0, pad_token_id=0,
        id2label={0: "good", 1: "bad", 2: "so so"},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    loaded = served(tmp_path)
    alone, together = infer(loaded, "fox")[0], infer(loaded, "a lazy dog", "fox", "x" * 500)[1]
    assert {one["label"] for one in alone} == {"good", "bad", "so so"}
    assert sum(one["score"] for one in alone) == pytest.approx(1, abs=1e-5)
    assert alone[0]["score"] > alone[-1]["score"]
    assert [one["label"] for one in together] == [one["label"] for one in alone]
    assert together[0]["score"] == pytest.approx(alone[0]["score"], abs=1e-5)
    with pytest.raises(ValueError, match="must be a text, one is int"):
        infer(loaded, "a", 3)


def picture(size: tuple[int, int] = (20, 10)) -> str:
    from PIL import Image

    written = io.BytesIO()
    Image.new("RGB", size, (200, 20, 20)).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def test_images_are_classified_whatever_their_size(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8,
        id2label={0: "cat", 1: "dog"},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    loaded = served(tmp_path)
    one, other = infer(loaded, picture(), f"data:image/png;base64,{picture((40, 20))}")
    assert {label["label"] for label in one} == {"cat", "dog"}
    assert one[0]["score"] == pytest.approx(other[0]["score"], abs=1e-3), "one colour, whatever its size"
    for given, said in ((3, "an image as base64"), ("!", "not base64"), ("aGk=", "not an image")):
        with pytest.raises(ValueError, match=said):
            infer(loaded, given)


def sound(rate_hz: int = 16_000, width: int = 2, seconds: float = 0.5) -> str:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setparams((1, width, rate_hz, 0, "NONE", ""))
        count = int(seconds * rate_hz)
        file.writeframes(
            struct.pack(f"<{count}h", *((at * 997) % 20_000 for at in range(count))) if width == 2 else b"\0"
        )
    return base64.b64encode(written.getvalue()).decode()


def test_speech_becomes_text(tmp_path: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=save_letters(tmp_path, ["_"]), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, conv_dim=(8, 8), conv_stride=(5, 4), conv_kernel=(10, 8), num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, pad_token_id=0,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    loaded = served(tmp_path)
    alone = infer(loaded, sound())[0]
    assert alone.keys() == {"text"}
    assert isinstance(alone["text"], str)
    assert infer(loaded, sound(), sound())[1] == alone
    for given, said in (
        (sound(rate_hz=8000), "16-bit at 16000 Hz; an input is 16-bit at 8000 Hz"),
        (sound(width=1), "an input is 8-bit"),
        (sound(seconds=0), "no sound in it"),
        ("aGk=", "not a WAV file"),
    ):
        with pytest.raises(ValueError, match=said):
            infer(loaded, given)
