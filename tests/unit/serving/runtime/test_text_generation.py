"""How chats become prompts, and what a causal model needs before it is loaded."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from suanli.serving.runtime.generation import Message
from suanli.serving.runtime.options import Options
from suanli.serving.runtime.start import fit_of
from suanli.serving.runtime.text_generation import CausalGenerator

TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<{{ message.role }}>{{ message.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
WORDS = ["<s>", "<user>", "<assistant>", "user", "assistant", ":", "\n", "hi"]


@pytest.fixture
def tokenizer() -> Any:
    """One that begins every text with <s>."""
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="\n"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    words.add_special_tokens(WORDS[:3])
    words.add_tokens(WORDS[3:])
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=words)


def generator(tokenizer: Any) -> CausalGenerator:
    return CausalGenerator(tokenizer, None, 64)  # pyright: ignore[reportArgumentType] - nothing is generated


def test_a_chat_follows_the_models_own_template_which_writes_special_tokens_itself(tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATE
    prompt = generator(tokenizer).chat([Message("user", "hi")])
    assert prompt.text == "<user>hi<assistant>"
    assert [WORDS[at] for at in prompt.ids] == ["<user>", "hi", "<assistant>"]


def test_a_chat_without_a_template_begins_as_any_text_does(tokenizer: Any) -> None:
    prompt = generator(tokenizer).chat([Message("user", "hi")])
    assert prompt.text == "user: hi\nassistant:"
    assert (prompt.ids[0], prompt.tokens) == (0, len(prompt.ids))


def test_messages_that_the_template_refuses_are_told_in_its_words(tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATE
    with pytest.raises(ValueError, match="no tools here"):
        generator(tokenizer).chat([Message("tool", "42")])


def test_what_a_causal_model_needs_is_known_from_its_files(tmp_path: Path) -> None:
    """Weights in bf16 take twice as much on a CPU, where they become float32."""
    from safetensors.torch import save_file
    from torch import bfloat16, zeros

    config = {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "hidden_size": 512,
    }
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    save_file({"a": zeros(1024, 1024, dtype=bfloat16)}, tmp_path / "model.safetensors")
    options = Options(
        runtime="transformers", name="x", model_dir=tmp_path, batch_max=4, memory_max_bytes=2**30
    )
    on_cpu = fit_of(options)
    assert "weights 4MiB + cache 256MiB (4 sequences × 4096 tokens × 16KiB)" in on_cpu.sum
    assert on_cpu.holds
    on_gpu = fit_of(msgspec.structs.replace(options, device="cuda", context_max=1024))
    assert "weights 2MiB + cache 32MiB (4 sequences × 1024 tokens × 8KiB)" in on_gpu.sum
