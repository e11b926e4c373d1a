"""The registry of a controller: its index in the controller's database, its files where the settings say."""

from collections.abc import Callable
from pathlib import Path

from suanli.models.registry import Registry, staging_of
from suanli.models.storage import open_blobs
from suanli.ports.model_index import ModelIndex


def registry_of(home: Path, storage: str, index: ModelIndex, now_s: Callable[[], float]) -> Registry:
    """`storage` is empty for `models` in the home. Raises UsageError, Unavailable."""
    blobs = open_blobs(storage or str(home / "models"))
    return Registry(index, blobs, staging_of(blobs, home), now_s)
