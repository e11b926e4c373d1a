"""From a model's hidden states to one vector for each text, as sentence-transformers' folders describe it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from suanli.domain.errors import SpecError
from suanli.serving.runtime.files import config_of, read_json


class Pooling(msgspec.Struct, frozen=True, kw_only=True):
    """`modes` are concatenated. A text is begun with `prefix`, lowered where `lower`, and cut to `tokens_max`."""

    modes: tuple[str, ...] = ("mean",)
    normalised: bool = False
    tokens_max: int = 512
    lower: bool = False
    prefix: str = ""

    def texts(self, texts: list[str]) -> list[str]:
        begun = [self.prefix + text for text in texts]
        return [text.lower() for text in begun] if self.lower else begun

    def vectors(self, hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """[batch, width] from `hidden` [batch, time, width] and `mask` [batch, time], 1 where a token is."""
        pooled = np.concatenate([POOLED[mode](hidden, mask) for mode in self.modes], axis=1)
        if self.normalised:
            pooled = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return pooled


def _sums(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.einsum("btw,bt->bw", hidden, mask.astype(hidden.dtype))


def _counts(mask: np.ndarray) -> np.ndarray:
    return np.maximum(mask.sum(1, keepdims=True), 1).astype(np.float32)


def _last(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1] > 0, axis=1)
    return hidden[np.arange(len(hidden)), last]


def _most(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None] > 0, hidden, -np.inf).max(1)


POOLED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cls": lambda hidden, mask: hidden[np.arange(len(hidden)), np.argmax(mask > 0, axis=1)],
    "max": _most,
    "mean": lambda hidden, mask: _sums(hidden, mask) / _counts(mask),
    "mean_sqrt_len_tokens": lambda hidden, mask: _sums(hidden, mask) / np.sqrt(_counts(mask)),
    "lasttoken": _last,
}
"""By sentence-transformers' names."""
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Older folders have a flag for each; newer ones one field, pooling_mode."""


def pooling_of(folder: Path) -> Pooling:
    """How the folder says it is done: its modules.json and what that names; without one, the mean of the last hidden
    states, as it is. Raises SpecError for a module that isn't known.
    """
    modules = read_json(folder / "modules.json") or []
    kinds = {str(module.get("type", "")).rpartition(".")[2]: module.get("path", "") for module in modules}
    if unknown := sorted(kinds.keys() - {"Transformer", "Pooling", "Normalize"}):
        raise SpecError(
            f"the model has a module {unknown[0]}; Transformer, Pooling and Normalize are known",
            remedy="serve it with --runtime python and sentence-transformers",
        )
    said = read_json(folder / "sentence_bert_config.json")
    context = config_of(folder).get("max_position_embeddings") or 512
    more = read_json(folder / "config_sentence_transformers.json")
    return Pooling(
        modes=_modes(read_json(folder / kinds["Pooling"] / "config.json"))
        if "Pooling" in kinds
        else ("mean",),
        normalised="Normalize" in kinds,
        tokens_max=said.get("max_seq_length") or context,
        lower=bool(said.get("do_lower_case")),
        prefix=(more.get("prompts") or {}).get(more.get("default_prompt_name")) or "",
    )


def _modes(config: dict[str, Any]) -> tuple[str, ...]:
    named = config.get("pooling_mode")
    modes = (
        [named] if isinstance(named, str) else named or [FLAGS[flag] for flag in FLAGS if config.get(flag)]
    )
    if unknown := [mode for mode in modes if mode not in POOLED]:
        raise SpecError(f"the model pools by {unknown[0]}; known are {', '.join(POOLED)}")
    return tuple(modes) or ("mean",)
