"""What a model's folder says about itself."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suanli.domain.errors import SpecError
from suanli.serving.runtime.files import task_of
from suanli.serving.runtime.pooling import Pooling, pooling_of


def write(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("LlamaForCausalLM", "text-generation"),
        ("GPT2LMHeadModel", "text-generation"),
        ("BertForSequenceClassification", "text-classification"),
        ("ViTForImageClassification", "image-classification"),
        ("Wav2Vec2ForCTC", "speech-recognition"),
        ("WhisperForConditionalGeneration", "speech-recognition"),
        ("BertModel", "embeddings"),
    ],
)
def test_the_task_follows_from_the_models_class(tmp_path: Path, architecture: str, task: str) -> None:
    assert task_of(write(tmp_path, config={"architectures": [architecture]})) == task


def test_a_folder_that_does_not_say_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="names no architecture"):
        task_of(tmp_path)
    with pytest.raises(SpecError, match=r"config\.json is not JSON"):
        task_of(write(tmp_path, config="{"))
    assert task_of(write(tmp_path, modules=[])) == "embeddings"


MODULES = [
    {"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "pool"},
]


def test_pooling_is_read_from_older_and_newer_folders(tmp_path: Path) -> None:
    flags = {
        "pooling_mode_cls_token": True,
        "pooling_mode_max_tokens": True,
        "pooling_mode_mean_tokens": False,
    }
    write(tmp_path, modules=MODULES, pool__config=flags, sentence_bert_config={"max_seq_length": 99})
    assert pooling_of(tmp_path) == Pooling(modes=("cls", "max"), tokens_max=99)
    normalised = [*MODULES, {"type": "sentence_transformers.models.Normalize", "path": "n"}]
    write(tmp_path, modules=normalised, pool__config={"pooling_mode": "lasttoken"})
    assert pooling_of(tmp_path) == Pooling(modes=("lasttoken",), normalised=True, tokens_max=99)


def test_a_module_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, modules=[*MODULES, {"type": "sentence_transformers.models.Dense", "path": "d"}])
    with pytest.raises(SpecError, match="a module Dense"):
        pooling_of(tmp_path)


def test_padding_never_counts() -> None:
    hidden = np.array(
        [[[1.0, 2.0], [3.0, 8.0], [-99.0, 99.0]], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]], np.float32
    )
    mask = np.array([[1, 1, 0], [1, 1, 1]])

    def pooled(mode: str) -> list[list[float]]:
        return Pooling(modes=(mode,)).vectors(hidden, mask).tolist()

    assert pooled("mean") == [[2.0, 5.0], [2.0, 2.0]]
    assert pooled("max") == [[3.0, 8.0], [3.0, 3.0]]
    assert pooled("cls") == [[1.0, 2.0], [1.0, 1.0]]
    assert pooled("lasttoken") == [[3.0, 8.0], [3.0, 3.0]]
    assert pooled("mean_sqrt_len_tokens")[0] == pytest.approx([4 / 2**0.5, 10 / 2**0.5])


def test_what_the_controller_may_import_brings_no_framework() -> None:
    import subprocess

    code = (
        "import sys; from suanli.serving.runtime import generation, memory, options, start, vllm;"
        "print([name for name in ('torch', 'transformers', 'onnxruntime') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
