"""Where a controller keeps models."""

import importlib.util

import pytest

from suanli.control.models import registry_of
from suanli.domain.errors import Unavailable, UsageError
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
