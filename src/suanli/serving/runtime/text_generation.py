"""A folder with a causal language model of transformers, made into a Generator."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import jinja2

from suanli.domain.errors import SpecError
from suanli.serving.runtime.causal import CausalBatch
from suanli.serving.runtime.continuous import Continuous
from suanli.serving.runtime.generation import Generation, Message, Piece, Prompt, plain_chat
from suanli.serving.runtime.loaded import Compute, Loaded, Scored
from suanli.serving.runtime.options import Options
from suanli.serving.runtime.pretrained import pretrained, tokenizer_of
from suanli.serving.runtime.scoring import Scorer


async def load(options: Options, compute: Compute, measured: Callable[[int, float], None]) -> Loaded:
    model, tokenizer = await compute.run(_read, options)
    batch = CausalBatch(model, _ends(model, tokenizer))
    waiting_line = Continuous(
        batch,
        lambda ids: tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
        compute,
        batch_max=options.batch_max,
        queue_max=options.queue_max,
        measured=measured,
    )
    generator = CausalGenerator(tokenizer, waiting_line, _context(model, options))

    scorer = Scorer(model, tokenizer, generator.context)

    async def score(texts: list[str]) -> list[Scored]:
        return await compute.run(scorer.score, texts)

    async def warm_up() -> None:
        prompt = generator.prompt("a")
        async for _ in generator.generate(prompt, Generation(max_tokens=2, temperature=0.0)):
            pass

    return Loaded(
        generator=generator,
        score=score,
        tokens=lambda text: len(tokenizer(text)["input_ids"]),
        warm_up=warm_up,
        close=waiting_line.close,
        facts={"runtime": "transformers", "task": "text-generation", "context": generator.context},
    )


class CausalGenerator:
    """Prompts by the model's own tokenizer and chat template."""

    def __init__(self, tokenizer: Any, continuous: Continuous, context: int | None) -> None:
        self.context = context
        self._tokenizer, self._continuous = tokenizer, continuous

    def prompt(self, text: str) -> Prompt:
        return self._prompt(text, special=True)

    def chat(self, messages: list[Message]) -> Prompt:
        if not self._tokenizer.chat_template:
            return self.prompt(plain_chat(messages))
        told = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        except jinja2.TemplateError as error:
            raise ValueError(f"the model's chat template refuses these messages: {error}") from error
        return self._prompt(text, special=False)  # templates write special tokens themselves

    def _prompt(self, text: str, special: bool) -> Prompt:
        ids = self._tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        return Prompt(text=text, tokens=len(ids), ids=tuple(ids))

    def generate(self, prompt: Prompt, params: Generation) -> AsyncGenerator[Piece]:
        return self._continuous.generate(prompt, params)


def _read(options: Options) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM

    model = pretrained(AutoModelForCausalLM, options)
    if getattr(model, "_is_stateful", False):
        raise SpecError(
            f"{type(model).__name__} keeps a state that is not one of keys and values, so that its sequences cannot be"
            " batched as they come and go",
            remedy="serve it with --runtime python, or with vLLM",
        )
    return model, tokenizer_of(options.model_dir)


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a text, by the generation config where there is one."""
    said = model.generation_config.eos_token_id if model.generation_config else None
    said = tokenizer.eos_token_id if said is None else said
    return frozenset([said] if isinstance(said, int) else said or [])


def _context(model: Any, options: Options) -> int | None:
    known = [getattr(model.config, "max_position_embeddings", None), options.context_max]
    return min((length for length in known if length), default=None)
