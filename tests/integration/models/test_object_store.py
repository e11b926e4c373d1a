"""Models on S3, over its protocol on a real port: kept there, fetched from there by a node, pushed from there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import msgspec
import pytest
import s3fs
from moto.server import ThreadedMotoServer
from tests.unit.models.files import JSON, everything_below, file_of, push, safetensors

from suanli.domain.errors import NotFound, Unavailable, UsageError
from suanli.models.fetch import Order, argv_of
from suanli.models.registry import Registry, staging_of
from suanli.models.source import open_source
from suanli.models.storage import open_blobs
from suanli.ports.memory_model_index import MemoryModelIndex

KEPT = "s3://our-models/registry"
SHOW = ("python", "-c", "import json, os; print(json.dumps(dict(os.environ)))")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def reach(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the environment says of S3."""
    told = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    return told


@pytest.fixture
def s3(reach: dict[str, str]) -> object:
    """Its own client, with empty buckets `our-models` and `source`."""
    client = boto3.client("s3")
    for bucket in ("our-models", "source"):
        client.create_bucket(Bucket=bucket)
        for found in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=found["Key"])
    return client


def test_a_blob_is_kept_once_read_anywhere_and_removed(s3, tmp_path):
    blobs = open_blobs(KEPT)
    body = bytes(range(256)) * 40_000
    promised = file_of("w", body)
    for _ in range(2):
        (tmp_path / "w").write_bytes(body)
        blobs.put(promised.sha256, tmp_path / "w")
        assert not (tmp_path / "w").exists()
    assert list(blobs.every()) == [(promised.sha256, len(body))]
    with blobs.open(promised.sha256) as opened:
        assert opened.seek(-3, os.SEEK_END) == len(body) - 3
        assert opened.read() == body[-3:]
        opened.seek(1_000_001)
        assert opened.read(100_000) == body[1_000_001:1_100_001]
    (kept,) = s3.list_objects_v2(Bucket="our-models")["Contents"]
    assert kept["Key"] == f"registry/blobs/{promised.sha256[:2]}/{promised.sha256}"
    blobs.remove(promised.sha256)
    blobs.remove(promised.sha256)
    assert blobs.size(promised.sha256) is None
    with pytest.raises(NotFound):
        blobs.open(promised.sha256)


def test_a_node_fetches_from_there_and_its_program_finds_no_key(s3, reach, tmp_path):
    blobs = open_blobs(KEPT)
    registry = Registry(MemoryModelIndex(), blobs, staging_of(blobs, tmp_path), lambda: 0.0)
    version = push(registry, {"model.safetensors": safetensors(1, 100_000), "config.json": JSON})
    order = tmp_path / "order.json"
    told = Order(version=version, storage_url=KEPT, cache_dir=str(tmp_path / "cache"), cache_bytes_max=2**30)
    order.write_bytes(msgspec.json.encode(told))
    node = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "AWS_PROFILE_OF_MINE": "my own"}
    node["HOME"] = str(tmp_path)

    def fetched(**more: str) -> "subprocess.CompletedProcess[str]":
        argv = argv_of(order, SHOW)
        return subprocess.run(
            argv, env=node | more, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    without = fetched()
    assert without.returncode == Unavailable.exit_code
    assert "SL-MODEL-STORAGE" in without.stderr
    done = fetched(SUANLI_STORAGE_ENVIRONMENT=json.dumps(reach))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert everything_below(Path(found["SUANLI_MODEL_DIR"])) == ["config.json", "model.safetensors"]
    assert {name: value for name, value in found.items() if "AWS" in name or "STORAGE" in name} == {
        "AWS_PROFILE_OF_MINE": "my own"
    }


def test_a_model_is_pushed_from_a_bucket(s3):
    for key, body in {
        "m/config.json": JSON,
        "m/w.safetensors": safetensors(),
        "m/w.bin": b"\x80\x04.",
    }.items():
        s3.put_object(Bucket="source", Key=key, Body=body)
    with open_source("s3://source/m", ("*.bin",)) as source:
        assert [file.path for file in source.files] == ["config.json", "w.safetensors"]
        assert source.task == "text-classification"
        with source.files[1].open() as opened:
            assert opened.read() == safetensors()
    with open_source("s3://source/m/w.safetensors") as source:
        assert [file.path for file in source.files] == ["w.safetensors"]


def test_what_a_bucket_does_not_give_is_told(s3):
    with pytest.raises(Unavailable, match="does not exist"), open_source("s3://no-such-bucket/m"):
        pass
    with pytest.raises(UsageError, match="no file"), open_source("s3://source/nothing"):
        pass
    s3.put_object(Bucket="source", Key="m/w.safetensors", Body=safetensors(numbers=2_000_000))
    with open_source("s3://source/m") as source:
        opened = source.files[0].open()
        s3.delete_object(Bucket="source", Key="m/w.safetensors")
        with pytest.raises(Unavailable, match=r"s3://source/m/w\.safetensors"):
            opened.read()
        with pytest.raises(UsageError, match="went away"):
            source.files[0].open()
