"""An object store that cannot be reached is told, and leaves nothing half done."""

from typing import Any

import aiohttp
import pytest
from tests.unit.models.files import everything_below, gguf, manifest

from suanli.domain.errors import NotFound, Unavailable
from suanli.models import storage
from suanli.models.registry import Registry
from suanli.models.storage import RemoteBlobs, open_blobs
from suanli.ports.memory_model_index import MemoryModelIndex

SHA256 = "ab" * 32


class Broken:
    """A file system whose network is down, in the words of the client that speaks to it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


@pytest.mark.parametrize(
    "error", [aiohttp.ClientError("no route"), TimeoutError("too late"), PermissionError(13, "no")]
)
def test_whatever_its_client_says_is_told_as_unavailable(error, monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "file_system", lambda _: Broken(error))
    blobs = open_blobs("gs://bucket/models")
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for broken in (
        lambda: blobs.size(SHA256),
        lambda: blobs.put(SHA256, file),
        lambda: blobs.open(SHA256),
        lambda: list(blobs.every()),
        lambda: blobs.remove(SHA256),
    ):
        with pytest.raises(Unavailable) as refused:
            broken()
        assert refused.value.remedy
    assert file.exists()


def test_a_push_goes_on_once_the_storage_is_there_again(monkeypatch, tmp_path):
    blobs = open_blobs(f"memory://{tmp_path.name}")
    assert isinstance(blobs, RemoteBlobs)
    registry = Registry(MemoryModelIndex(), blobs, tmp_path / "uploads", lambda: 0.0)
    begun = registry.begin(manifest({"m.gguf": gguf()}))
    registry.write("chat", begun.upload, begun.wanted[0].sha256, 0, gguf(), actor="ada")
    with monkeypatch.context() as broken:
        broken.setattr(blobs, "_files", Broken(OSError("down")))
        with pytest.raises(Unavailable):
            registry.commit("chat", begun.upload, actor="ada")
    assert list(registry.index.versions()) == []
    assert registry.commit("chat", begun.upload, actor="ada").number == 1
    assert everything_below(tmp_path / "uploads") == []


def test_a_blob_that_is_not_there_is_told_and_removing_it_is_no_mistake(tmp_path):
    for blobs in (open_blobs(str(tmp_path)), open_blobs(f"memory://{tmp_path.name}-2")):
        with pytest.raises(NotFound):
            blobs.open(SHA256)
        blobs.remove(SHA256)
        assert blobs.size(SHA256) is None
        assert list(blobs.every()) == []
