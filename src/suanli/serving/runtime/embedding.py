"""A folder with an encoder of transformers, made into sentence embeddings."""

from typing import Any

import torch

from suanli.serving.runtime.loaded import Compute, Embedded, Loaded
from suanli.serving.runtime.options import Options
from suanli.serving.runtime.pooling import Pooling, pooling_of
from suanli.serving.runtime.pretrained import pretrained, tokenizer_of


async def load(options: Options, compute: Compute) -> Loaded:
    encoder = await compute.run(_read, options)

    async def embed(texts: list[str]) -> list[Embedded]:
        return await compute.run(encoder.embed, texts)

    async def warm_up() -> None:
        await embed(["a"])

    return Loaded(
        embed=embed,
        warm_up=warm_up,
        facts={"runtime": "transformers", "task": "embeddings", "context": encoder.pooling.tokens_max},
    )


class Encoder:
    """Texts longer than the model's context are cut, as sentence-transformers does; their usage is what was read."""

    def __init__(self, model: Any, tokenizer: Any, pooling: Pooling) -> None:
        self._model, self._tokenizer, self.pooling = model, tokenizer, pooling

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> list[Embedded]:
        given = self._tokenizer(
            self.pooling.texts(texts),
            padding=True,
            truncation=True,
            max_length=self.pooling.tokens_max,
            return_tensors="pt",
        ).to(self._model.device)
        hidden = self._model(**given).last_hidden_state.float().cpu().numpy()
        mask = given["attention_mask"].cpu().numpy()
        vectors = self.pooling.vectors(hidden, mask)
        return [Embedded(*both) for both in zip(vectors.tolist(), mask.sum(1).tolist(), strict=True)]


def _read(options: Options) -> Encoder:
    from transformers import AutoModel

    return Encoder(
        pretrained(AutoModel, options), tokenizer_of(options.model_dir), pooling_of(options.model_dir)
    )
