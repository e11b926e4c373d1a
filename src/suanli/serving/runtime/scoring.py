"""How likely a causal model finds texts, token by token: what perplexity and bits per byte are made of."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from suanli.serving.runtime.loaded import Scored

WINDOW_TOKENS_MAX = 1024
"""Read at once: logits of a large vocabulary are 4 × 150,000 bytes a token."""


class Scorer:
    """Each token is scored once, with at least half a window before it where so much is there: windows move on by half.

    Before the first token stands the one that begins texts, or else the one that ends them (as in EleutherAI's
    lm-evaluation-harness, `loglikelihood_rolling`). A tokenizer without either leaves the first token out.
    """

    def __init__(self, model: Any, tokenizer: Any, context: int | None) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._window = max(2, min(context or WINDOW_TOKENS_MAX, WINDOW_TOKENS_MAX))
        begins = tokenizer.bos_token_id
        self._before = tokenizer.eos_token_id if begins is None else begins

    def score(self, texts: list[str]) -> list[Scored]:
        """Raises ValueError for a text in which there is nothing to score."""
        return [self._scored(text) for text in texts]

    @torch.inference_mode()
    def _scored(self, text: str) -> Scored:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        size_bytes = len(text.encode())
        if self._before is not None:
            ids = [self._before, *ids]
        elif ids:
            size_bytes -= len(self._tokenizer.decode(ids[:1]).encode())
        if len(ids) < 2:
            raise ValueError("a text must have at least one token to score, with another one before it")
        total, end = 0.0, 1
        while end < len(ids):
            until = min(len(ids), end + (self._window if end == 1 else self._window // 2) - (end == 1))
            total += self._likelihood(ids[max(0, until - self._window) : until], until - end)
            end = until
        return Scored(total, len(ids) - 1, size_bytes)

    def _likelihood(self, ids: list[int], last: int) -> float:
        """Natural logarithm of the likelihood of the `last` tokens of a window, after those before them."""
        window = torch.tensor([ids], device=self._model.device)
        logits = self._model(input_ids=window, use_cache=False).logits[0, -last - 1 : -1].float()
        return -float(cross_entropy(logits, window[0, -last:], reduction="sum"))
