"""Which samples a model is trained on and which it is asked about. Pure, but for the seed that is given."""

import re

import msgspec
import numpy as np

from suanli.domain.errors import UsageError

FOLDS_MAX = 100

_SPLIT = re.compile(r"holdout:(?P<share>0?\.[0-9]{1,6})|kfold:(?P<folds>[0-9]{1,3})")


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A hold-out of a `share` of the samples, or so many `folds`, of which each is held out once."""

    share: float = 0.0
    folds: int = 1

    def __str__(self) -> str:
        return f"holdout-{self.share:g}" if self.share else f"kfold-{self.folds}"


class Fold(msgspec.Struct, frozen=True):
    """Positions of samples, each in rising order."""

    train: tuple[int, ...]
    test: tuple[int, ...]


def parse_split(text: str) -> Split:
    """`holdout:0.2` or `kfold:5`. Raises UsageError."""
    found = _SPLIT.fullmatch(text)
    if found and found["share"] and float(found["share"]) > 0:
        return Split(share=float(found["share"]))
    if found and found["folds"] and 2 <= int(found["folds"]) <= FOLDS_MAX:
        return Split(folds=int(found["folds"]))
    raise UsageError(
        f"{text[:100]!r} is no split.",
        remedy=f"Write `holdout:0.2`, or `kfold:5` with 2 to {FOLDS_MAX} folds.",
    )


def folds(count: int, split: Split, seed: int) -> tuple[Fold, ...]:
    """Drawn by the seed: the same for the same count. Raises UsageError where a part would be empty. O(count)."""
    order = np.random.default_rng(seed).permutation(count)
    held = [order[: round(count * split.share)]] if split.share else np.array_split(order, split.folds)
    if any(len(part) in (0, count) for part in held):
        raise UsageError(
            f"{count} samples are too few for {split}.", remedy="Use more samples, or fewer folds."
        )
    return tuple(_fold(part, count) for part in held)


def _fold(part: np.ndarray, count: int) -> Fold:
    chosen = np.zeros(count, bool)
    chosen[part] = True
    return Fold(tuple(np.flatnonzero(~chosen).tolist()), tuple(np.flatnonzero(chosen).tolist()))
