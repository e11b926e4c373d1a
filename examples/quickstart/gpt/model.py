"""A decoder-only transformer of 0.7 M parameters: rotary positions, normalised queries and keys, tied embeddings."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; `context` is the most tokens it sees at once."""

    vocabulary: int = 1024
    width: int = 128
    heads: int = 4
    layers: int = 3
    context: int = 128

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class GPT(nn.Module):
    """Token ids [batch, time] in, logits [batch, time, vocabulary] out."""

    rotation: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.register_buffer("rotation", _rotation(shape), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        stream = self.embedding(tokens)
        for block in self.blocks:
            stream = block(stream, self.rotation[:, : tokens.shape[1]])
        return _normalise(stream) @ self.embedding.weight.T

    @torch.inference_mode()
    def continuation(self, tokens: list[int], temperature: float, generator: torch.Generator) -> int:
        """The next token after `tokens`: the likeliest near temperature 0, where dividing overflows; else drawn."""
        logits = self(torch.tensor([tokens[-self.shape.context :]]))[0, -1]
        if temperature < 0.01:
            return int(logits.argmax())
        return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))


class Block(nn.Module):
    """Attention, then a squared-ReLU layer; both begin as nothing, so that deep gradients are sound from the start."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.attended = nn.Linear(shape.width, shape.width, bias=False)
        self.widen = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.narrow = nn.Linear(4 * shape.width, shape.width, bias=False)
        nn.init.zeros_(self.attended.weight)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, stream: Tensor, rotation: Tensor) -> Tensor:
        stream = stream + self.attended(self._attend(_normalise(stream), rotation))
        return stream + self.narrow(functional.relu(self.widen(_normalise(stream))).square())

    def _attend(self, stream: Tensor, rotation: Tensor) -> Tensor:
        batch, time, width = stream.shape
        split = self.query_key_value(stream).view(batch, time, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        query, key = _rotate(_normalise(query), rotation), _rotate(_normalise(key), rotation)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return mixed.transpose(1, 2).reshape(batch, time, width)


def _normalise(values: Tensor) -> Tensor:
    return functional.rms_norm(values, (values.shape[-1],))


def _rotation(shape: Shape) -> Tensor:
    """Cosines and sines [2, context, head width / 2] of rotary position embeddings (Su et al. 2021)."""
    half = shape.width // shape.heads // 2
    angles = torch.arange(shape.context)[:, None] / 10_000 ** (torch.arange(half) / half)
    return torch.stack((angles.cos(), angles.sin()))


def _rotate(values: Tensor, rotation: Tensor) -> Tensor:
    cosine, sine = rotation
    left, right = values.chunk(2, dim=-1)
    return torch.cat((left * cosine - right * sine, left * sine + right * cosine), dim=-1)
