"""Where a controller keeps models, which of them are in use, and what its replicas are told of them."""

import importlib.util
from pathlib import Path

import msgspec
import pytest

from suanli.control.models import NodeCache, Programs, in_use, registry_of
from suanli.domain.errors import Unavailable, UsageError
from suanli.domain.model import Format, ModelVersion
from suanli.domain.record import Record, Status
from suanli.domain.service import Revision, ServiceRecord
from suanli.domain.workload import Kind, ModelUse, Service, Workload
from suanli.domain.world import World
from suanli.models.fetch import Order
from suanli.ports.memory_model_index import MemoryModelIndex


@pytest.mark.parametrize(
    ("storage", "url"),
    [
        ("", "{home}/models"),
        ("{home}/elsewhere", "{home}/elsewhere"),
        ("file://{home}/x", "{home}/x"),
        ("memory://models/of-a-test", "memory://models/of-a-test"),
    ],
)
def test_models_lie_in_the_home_or_where_the_settings_say(storage, url, tmp_path):
    registry = registry_of(tmp_path, storage.format(home=tmp_path), MemoryModelIndex(), lambda: 0.0)
    assert registry.blobs.url == url.format(home=tmp_path)


@pytest.mark.parametrize("storage", ["http://host/models", "s3://../x", "models:/chat/3", "ftp://host/x"])
def test_a_place_that_is_none_is_refused(storage, tmp_path):
    with pytest.raises(UsageError):
        registry_of(tmp_path, storage, MemoryModelIndex(), lambda: 0.0)


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is not None, reason="the package is there")
def test_a_storage_whose_package_is_missing_is_told_by_the_packages_name(tmp_path):
    with pytest.raises(Unavailable) as refused:
        registry_of(tmp_path, "gs://bucket-of-nobody/models", MemoryModelIndex(), lambda: 0.0)
    assert "gcsfs" in refused.value.remedy


def serving(number: int) -> Workload:
    use = ModelUse(ref="chat", name="chat", number=number)
    return Workload(name="s", kind=Kind.SERVE, run=("serve",), service=Service(), model=use)


def test_what_a_service_may_be_rolled_back_to_is_in_use():
    revisions = tuple(Revision(number=n, workload=serving(n), made_s=0.0, actor="ada") for n in (1, 2, 3))
    world = World(services={"s": ServiceRecord(name="s", revisions=revisions, target=3, settled=3)})
    assert in_use(world) == {("chat", 1), ("chat", 2), ("chat", 3)}


def test_replicas_fetch_from_where_the_models_are_now(tmp_path):
    index = MemoryModelIndex()
    index.add(ModelVersion(name="chat", digest="d", files=(), format=Format.ONNX))
    record = Record(
        key="s/0", workload=serving(1), seq=1, submitted_s=0.0, waiting_since_s=0.0, status=Status.WAITING
    )
    for url in ("/old", "/new"):
        Programs(index, url, tmp_path)(record)
        note = msgspec.json.decode((tmp_path / "orders" / "chat-1.json").read_bytes(), type=Order)
        assert note.storage_url == url
        assert note.cache_dir == str(tmp_path / "cache")


def test_where_nodes_keep_models_and_how_much_can_be_said(tmp_path):
    index = MemoryModelIndex()
    index.add(ModelVersion(name="chat", digest="d", files=(), format=Format.ONNX))
    record = Record(
        key="s/0", workload=serving(1), seq=1, submitted_s=0.0, waiting_since_s=0.0, status=Status.WAITING
    )
    Programs(index, "/models", tmp_path, NodeCache(folder=Path("/fast"), bytes_max=7))(record)
    note = msgspec.json.decode((tmp_path / "orders" / "chat-1.json").read_bytes(), type=Order)
    assert (note.cache_dir, note.cache_bytes_max) == ("/fast", 7)
