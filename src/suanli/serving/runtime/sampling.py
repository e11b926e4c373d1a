"""The next tokens from a batch's logits, each sequence drawing as its own request says."""

import secrets
from typing import NamedTuple

import torch
from torch import Tensor

from suanli.serving.runtime.generation import Generation

GREEDY = 1e-4
"""Below this temperature the likeliest token is taken: dividing by less overflows."""


class Draw(NamedTuple):
    """How one sequence draws. It has a generator of its own, so that its seed decides whoever else is in the batch."""

    temperature: float
    top_p: float
    chance: torch.Generator | None

    @classmethod
    def of(cls, params: Generation, device: torch.device) -> "Draw":
        if params.temperature < GREEDY:
            return cls(0.0, 1.0, None)
        seed = secrets.randbits(63) if params.seed is None else params.seed
        return cls(params.temperature, params.top_p, torch.Generator(device).manual_seed(seed))


def drawn(logits: Tensor, draws: list[Draw]) -> list[int]:
    """A token for each row of `logits` [batch, vocabulary]."""
    tokens = logits.argmax(-1).tolist()
    for at, draw in enumerate(draws):
        if draw.chance is not None:
            tokens[at] = _sampled(logits[at], draw)
    return tokens


def _sampled(logits: Tensor, draw: Draw) -> int:
    """Nucleus sampling (Holtzman et al. 2020): among the fewest tokens whose chances reach `top_p`."""
    chances = (logits / draw.temperature).softmax(-1)
    if draw.top_p >= 1:
        return int(torch.multinomial(chances, 1, generator=draw.chance))
    ordered, tokens = chances.sort(descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    nucleus = ordered.where(before < draw.top_p, torch.zeros_like(ordered))
    return int(tokens[torch.multinomial(nucleus, 1, generator=draw.chance)])
