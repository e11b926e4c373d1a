"""Continuous batching against transformers' own generate, one sequence at a time."""

import random
from typing import Any

import pytest
import torch

from suanli.serving.runtime.causal import CausalBatch
from suanli.serving.runtime.continuous import Sequence
from suanli.serving.runtime.generation import Generation, Prompt
from suanli.serving.runtime.sampling import Draw, drawn

VOCABULARY, CONTEXT = 120, 700
torch.set_num_threads(1)


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=CONTEXT, initializer_range=0.3, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def gpt2() -> Any:
    """Learnt positions, where Llama's rotate."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, initializer_range=0.3,
        eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def sliding() -> Any:
    """A window shorter than the texts."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(2)
    config = MistralConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=CONTEXT, initializer_range=0.3, sliding_window=16,
        eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return MistralForCausalLM(config).eval()


def alone(model: Any, prompt: list[int], max_tokens: int) -> list[int]:
    made = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=max_tokens)
    return made[0, len(prompt) :].tolist()


@pytest.mark.parametrize("made", [llama, gpt2, sliding])
def test_sequences_that_join_and_leave_at_any_step_get_what_they_get_alone(made: Any) -> None:
    model, draw = made(), random.Random(7)
    lengths = [1, 3, 600, 17, 40, 2, 120, 9, 1, 30]  # one is read in two chunks
    prompts = [[draw.randrange(1, VOCABULARY) for _ in range(length)] for length in lengths]
    asked = [(prompt, draw.randrange(1, 40)) for prompt in prompts]
    batch, waiting, got = CausalBatch(model, frozenset([0])), list(asked), dict[int, list[int]]()
    sequences = list[Sequence]()
    while len(sequences) < len(asked) or not all(one.over for one in sequences):
        joining = list[Sequence]()
        while waiting and draw.random() < 0.4:
            prompt, max_tokens = waiting.pop(0)
            given = Prompt(text="", tokens=len(prompt), ids=tuple(prompt))
            joining.append(Sequence(given, Generation(max_tokens=max_tokens, temperature=0.0), str))
        sequences += joining
        for sequence, token in batch.step(joining):
            got.setdefault(id(sequence), []).append(token)
            sequence.take(token, batch.ends)
    assert [got[id(one)] for one in sequences] == [alone(model, *one) for one in asked]


def test_a_sequence_that_is_given_up_leaves_the_others_as_they_were() -> None:
    model = llama()
    batch = CausalBatch(model, frozenset())
    long, short = (
        Sequence(Prompt(text="", tokens=len(ids), ids=ids), Generation(max_tokens=20, temperature=0.0), str)
        for ids in (tuple(range(1, 90)), (5, 6, 7))
    )
    made = [token for sequence, token in batch.step([long, short]) if sequence is short]
    while len(made) < 20:
        made += [token for sequence, token in batch.step([]) if sequence is short]
        long.over = True
    assert made == alone(model, [5, 6, 7], 20)


def test_the_nucleus_holds_the_fewest_tokens_that_reach_top_p() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    def seen(top_p: float) -> set[int]:
        params = (Generation(max_tokens=1, top_p=top_p, seed=seed) for seed in range(300))
        return {drawn(logits, [Draw.of(one, torch.device("cpu"))])[0] for one in params}

    assert seen(0.5) == {0}
    assert seen(0.79) == {0, 1}
    assert seen(0.81) == {0, 1, 2}
    assert seen(1.0) == {0, 1, 2, 3}


def test_chances_follow_the_temperature() -> None:
    logits = torch.tensor([[0.8, 0.2]]).log()

    def share(temperature: float) -> float:
        draws = [Generation(max_tokens=1, temperature=temperature, seed=seed) for seed in range(4000)]
        return sum(drawn(logits, [Draw.of(one, torch.device("cpu"))])[0] == 0 for one in draws) / len(draws)

    assert share(1.0) == pytest.approx(0.8, abs=0.03)
    assert share(0.5) == pytest.approx(0.64 / 0.68, abs=0.03)
    assert share(1e-300) == 1.0
