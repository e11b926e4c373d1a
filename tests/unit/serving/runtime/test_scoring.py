"""How likely a model finds a text, against one forward pass of transformers over the whole of it."""

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3] / "integration" / "serving"))

from runtime_replica import TEXT, save_gpt2

from suanli.serving.runtime.scoring import Scorer


@pytest.fixture(scope="module")
def model_and_tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("gpt2")
    return save_gpt2(folder, context=64), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def whole(model, ids: list[int]) -> list[float]:
    """The likelihood of each token but the first, by one pass."""
    chances = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return [float(chances[at, token]) for at, token in enumerate(ids[1:])]


def test_a_text_within_the_context_is_scored_as_one_pass_does(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    ids = [tokenizer.eos_token_id, *tokenizer(TEXT[:40])["input_ids"]]
    (scored,) = Scorer(model, tokenizer, 64).score([TEXT[:40]])
    assert scored.log_likelihood == pytest.approx(sum(whole(model, ids)), abs=1e-3)
    assert (scored.tokens, scored.bytes) == (len(ids) - 1, 40)


def test_a_longer_text_has_each_token_scored_once_after_half_a_window_at_least(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    text = TEXT * 5
    ids = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]
    assert len(ids) > 100
    expected, done = sum(whole(model, ids[:64])), 64
    while done < len(ids):
        until = min(len(ids), done + 32)
        expected += sum(whole(model, ids[max(0, until - 64) : until])[done - until :])
        done = until
    (scored,) = Scorer(model, tokenizer, 64).score([text])
    assert scored.tokens == len(ids) - 1
    assert scored.log_likelihood == pytest.approx(expected, abs=1e-2)


def test_a_tokenizer_without_a_beginning_leaves_the_first_token_out(model_and_tokenizer):
    import copy

    model, tokenizer = model_and_tokenizer
    bare = copy.deepcopy(tokenizer)
    bare.eos_token = bare.bos_token = None
    ids = bare(TEXT[:30])["input_ids"]
    (scored,) = Scorer(model, bare, 64).score([TEXT[:30]])
    assert scored.log_likelihood == pytest.approx(sum(whole(model, ids)), abs=1e-3)
    assert scored.tokens == len(ids) - 1
    assert scored.bytes == 30 - len(bare.decode(ids[:1]))
    with pytest.raises(ValueError, match="at least one token"):
        Scorer(model, bare, 64).score([TEXT[0]])


def test_no_text_is_likelier_than_certain(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    (scored,) = Scorer(model, tokenizer, 64).score([TEXT])
    assert math.exp(-scored.log_likelihood / scored.tokens) > 1
