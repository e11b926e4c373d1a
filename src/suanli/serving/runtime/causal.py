"""Causal language models of transformers in one batch that sequences join and leave at any token.

Keys and values of all sequences are held together, [batch, heads, time, width] for each layer, shorter ones padded on
the left; masks and positions make the padding invisible. A prompt is read alone, in chunks, and then joined on, so that
those who are being answered wait for one chunk at most. A step with one token each costs one forward pass of the model,
O(batch × longest sequence).
"""

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from suanli.serving.runtime.continuous import Sequence
from suanli.serving.runtime.sampling import Draw, drawn

CHUNK_TOKENS = 512
"""Of prompts, read in one step."""


@dataclass
class Row:
    """A sequence in the batch: how many of its tokens are in the cache, and the newest one, which isn't yet."""

    sequence: Sequence
    draw: Draw
    length: int = 0
    newest: int = 0


@dataclass
class Reading:
    """A sequence whose prompt is being read into a cache of its own."""

    row: Row
    cache: DynamicCache = field(default_factory=DynamicCache)


class CausalBatch:
    """The running batch; see `continuous.Batch`. One thread works with it."""

    def __init__(self, model: Any, ends: frozenset[int]) -> None:
        self.ends = ends
        self._model, self._device = model, model.device
        known = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in known else "past_key_values"
        self._takes_positions = "position_ids" in known
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self.clear()

    def clear(self) -> None:
        self._rows: list[Row] = []
        self._reading: list[Reading] = []
        self._layers: list[tuple[Tensor, Tensor]] = []

    @torch.inference_mode()
    def step(self, joining: list[Sequence]) -> list[tuple[Sequence, int]]:
        self._reading += [Reading(Row(one, Draw.of(one.params, self._device))) for one in joining]
        self._leave()
        new = self._decode()
        new += self._read()
        return [(row.sequence, row.newest) for row in new]

    def _leave(self) -> None:
        """Drop rows that are over, and the padding that only they needed."""
        self._reading = [one for one in self._reading if not one.row.sequence.over]
        kept = [at for at, row in enumerate(self._rows) if not row.sequence.over]
        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[at] for at in kept]
        if not kept:
            self._layers = []
            return
        longest, chosen = max(row.length for row in self._rows), torch.tensor(kept, device=self._device)
        self._layers = [
            (keys[chosen][:, :, -longest:].contiguous(), values[chosen][:, :, -longest:].contiguous())
            for keys, values in self._layers
        ]

    def _decode(self) -> list[Row]:
        """One more token for every row."""
        rows = list(self._rows)
        if not rows:
            return []
        lengths = torch.tensor([row.length for row in rows], device=self._device)
        longest = int(lengths.max())
        places = torch.arange(longest + 1, device=self._device)
        cache = _cache(self._layers)
        logits = self._forward(
            torch.tensor([[row.newest] for row in rows], device=self._device),
            cache,
            mask=(places >= (longest - lengths)[:, None]).long(),
            positions=lengths[:, None],
        )
        self._layers = _layers(cache)
        self._note(rows, logits, 1)
        return rows

    def _read(self) -> list[Row]:
        """Read on in the prompts, the longest waiting first; those read whole join the batch with their first token."""
        left, joined = CHUNK_TOKENS, list[Row]()
        while self._reading and left > 0:
            reading = self._reading[0]
            ids = reading.row.sequence.prompt.ids[reading.row.length :][:left]
            start, end = reading.row.length, reading.row.length + len(ids)
            logits = self._forward(
                torch.tensor([ids], device=self._device),
                reading.cache,
                mask=torch.ones(1, end, dtype=torch.long, device=self._device),
                positions=torch.arange(start, end, device=self._device)[None],
            )
            left -= len(ids)
            if end < reading.row.sequence.prompt.tokens:
                reading.row.length = end
                continue
            self._reading.pop(0)
            self._note([reading.row], logits, len(ids))
            self._join(reading.row, _layers(reading.cache))
            joined.append(reading.row)
        return joined

    def _note(self, rows: list[Row], logits: Tensor, read: int) -> None:
        for row, token in zip(rows, drawn(logits, [row.draw for row in rows]), strict=True):
            row.length += read
            row.newest = token

    def _join(self, row: Row, layers: list[tuple[Tensor, Tensor]]) -> None:
        """Pad the shorter side on the left, and put the new row under the others."""
        self._rows.append(row)
        if not self._layers:
            self._layers = layers
            return
        longest = max(row.length, self._layers[0][0].shape[2])

        def together(old: Tensor, new: Tensor) -> Tensor:
            return torch.cat([pad(one, (0, 0, longest - one.shape[2], 0)) for one in (old, new)])

        self._layers = [
            (together(old[0], new[0]), together(old[1], new[1]))
            for old, new in zip(self._layers, layers, strict=True)
        ]

    def _forward(self, ids: Tensor, cache: DynamicCache, *, mask: Tensor, positions: Tensor) -> Tensor:
        """Logits [batch, vocabulary] after the last token of each row."""
        given: dict[str, Any] = {self._cache_name: cache, "use_cache": True, **self._last_only}
        if self._takes_positions:
            given["position_ids"] = positions
        return self._model(input_ids=ids, attention_mask=mask, **given).logits[:, -1].float()


def _cache(layers: list[tuple[Tensor, Tensor]]) -> DynamicCache:
    """A cache that holds these; update() on an empty one would copy all of it."""
    cache = DynamicCache()
    for keys, values in layers:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def _layers(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    plain: list[Any] = cache.layers  # DynamicLayers all of them, as nothing else was asked for
    return [(layer.keys, layer.values) for layer in plain]
