"""A version is there whole or not at all, its files once, and garbage is what nobody needs."""

import os
import threading
import time

import msgspec
import pytest
from tests.unit.models.files import (
    JSON,
    everything_below,
    file_of,
    gguf,
    manifest,
    pickled,
    push,
    safetensors,
)

from suanli.domain.errors import Conflict, NotFound, UsageError
from suanli.domain.model import Reference
from suanli.models.check import NotAdmitted
from suanli.models.registry import Registry, staging_of
from suanli.models.storage import Blobs, LocalBlobs, open_blobs
from suanli.models.uploads import UPLOADS_MAX, Manifest
from suanli.ports.memory_model_index import MemoryModelIndex
from suanli.ports.model_index import Alias

FILES = {"model.safetensors": safetensors(), "config.json": JSON, "empty.txt": b""}
BIG = safetensors(numbers=5000)


@pytest.fixture(params=["local", "memory"])
def blobs(request, tmp_path) -> Blobs:
    return open_blobs(
        str(tmp_path / "models") if request.param == "local" else f"memory://models-{time.time_ns()}"
    )


@pytest.fixture
def registry(blobs, tmp_path) -> Registry:
    return Registry(MemoryModelIndex(), blobs, staging_of(blobs, tmp_path), lambda: 7.0)


def staged(registry: Registry) -> list[str]:
    return everything_below(registry._uploads._folder)


def test_a_pushed_version_is_its_files_byte_by_byte(registry):
    version = push(registry, FILES, task="text-classification", tags={"a": "b"})
    assert (version.reference, version.task, version.tags) == ("chat/1", "text-classification", {"a": "b"})
    assert (version.actor, version.created_s) == ("ada", 7.0)
    assert version.size_bytes == sum(map(len, FILES.values()))
    for path, body in FILES.items():
        assert registry.file("chat", 1, path) == file_of(path, body)
        with registry.blobs.open(file_of(path, body).sha256) as opened:
            assert opened.read() == body
    assert staged(registry) == []


def test_the_same_content_is_kept_once_over_versions_and_names_and_not_sent_again(registry):
    push(registry, FILES)
    assert registry.begin(manifest(FILES)).version.number == 1
    begun = registry.begin(manifest({**FILES, "README.md": b"new"}, "other"))
    assert [wanted.sha256 for wanted in begun.wanted] == [file_of("README.md", b"new").sha256]
    push(registry, {**FILES, "README.md": b"new"}, "other")
    assert len(list(registry.blobs.every())) == 4


def test_an_upload_goes_on_where_it_was_piece_by_piece_also_after_a_restart(registry, blobs, tmp_path):
    files = {"m.safetensors": BIG}
    begun = registry.begin(manifest(files))
    sha256 = begun.wanted[0].sha256
    for at in (0, 1000, 2000):
        registry.write("chat", begun.upload, sha256, at, BIG[at : at + 1000], actor="ada")
    again = Registry(registry.index, blobs, staging_of(blobs, tmp_path), lambda: 8.0)
    resumed = again.begin(manifest(files))
    assert (resumed.upload, resumed.wanted[0].offset) == (begun.upload, 3000)
    with pytest.raises(Conflict) as refused:
        again.write("chat", begun.upload, sha256, 2999, b"x", actor="ada")
    assert refused.value.evidence == {"offset": 3000}
    assert again.write("chat", begun.upload, sha256, 3000, BIG[3000:], actor="ada") == len(BIG)
    assert again.commit("chat", begun.upload, actor="ada").number == 1


def test_half_an_upload_is_no_version_and_is_dropped_after_a_day(registry):
    begun = registry.begin(manifest({"m.safetensors": BIG, "config.json": JSON}))
    registry.write("chat", begun.upload, begun.wanted[0].sha256, 0, BIG[:10], actor="ada")
    with pytest.raises(Conflict) as refused:
        registry.commit("chat", begun.upload, actor="ada")
    assert len(refused.value.evidence["wanted"]) == 2
    assert (list(registry.index.versions()), list(registry.blobs.every())) == ([], [])
    assert registry.collect().uploads == 0
    old_s = time.time() - 90_000
    os.utime(registry._uploads._folder / begun.upload / "manifest.json", (old_s, old_s))
    assert registry.collect().uploads == 1
    assert staged(registry) == []


def test_what_came_as_something_else_than_promised_begins_anew(registry):
    begun = registry.begin(manifest({"m.safetensors": BIG}))
    sha256 = begun.wanted[0].sha256
    with pytest.raises(Conflict) as refused:
        registry.write("chat", begun.upload, sha256, 0, BIG[:-1] + b"?", actor="ada")
    assert refused.value.code == "SL-MODEL-DIGEST"
    assert registry.begin(manifest({"m.safetensors": BIG})).wanted[0].offset == 0
    with pytest.raises(UsageError, match="longer"):
        registry.write("chat", begun.upload, sha256, 0, BIG + b"?", actor="ada")
    assert push(registry, {"m.safetensors": BIG}).number == 1


@pytest.mark.parametrize("bad", [{"m.safetensors": pickled(2)}, {"x.pt": b"x"}, {"m.safetensors": b"short"}])
def test_of_an_upload_with_a_file_that_may_not_enter_nothing_is_kept(registry, bad):
    with pytest.raises(NotAdmitted):
        push(registry, {"config.json": JSON, **bad})
    assert (staged(registry), list(registry.blobs.every()), list(registry.index.versions())) == ([], [], [])


@pytest.mark.parametrize("files", [{"config.json": JSON}, {"m.gguf": gguf(), "a.py": b"import os"}])
def test_files_that_may_not_stand_together_make_no_version_and_leave_nothing(registry, files):
    with pytest.raises(NotAdmitted):
        push(registry, files)
    assert (staged(registry), list(registry.blobs.every())) == ([], [])


def test_a_content_that_is_there_is_looked_at_again_under_another_path(registry):
    push(registry, {"m.gguf": gguf(), "notes.txt": b"print(1)"})
    with pytest.raises(NotAdmitted):
        push(registry, {"m.gguf": gguf(), "notes.py": b"print(1)"}, "other")
    version = push(registry, {"m.gguf": gguf(), "notes.py": b"print(1)"}, "other", code=True)
    assert [(file.path, file.code) for file in version.files] == [("m.gguf", False), ("notes.py", True)]


def test_an_upload_is_its_owners_alone(registry):
    begun = registry.begin(manifest(FILES))
    sha256 = begun.wanted[0].sha256
    for forbidden in (
        lambda: registry.write("chat", begun.upload, sha256, 0, b"", actor="eve"),
        lambda: registry.commit("chat", begun.upload, actor="eve"),
        lambda: registry.abandon("other", begun.upload, actor="ada"),
        lambda: registry.commit("chat", "0" * 40, actor="ada"),
        lambda: registry.commit("chat", "../../etc", actor="ada"),
    ):
        with pytest.raises(NotFound):
            forbidden()
    assert registry.begin(manifest(FILES, actor="eve")).upload != begun.upload


def test_an_upload_that_is_abandoned_leaves_nothing(registry):
    begun = registry.begin(manifest(FILES))
    registry.write("chat", begun.upload, begun.wanted[0].sha256, 0, b"1", actor="ada")
    registry.abandon("chat", begun.upload, actor="ada")
    assert staged(registry) == []


def test_garbage_is_what_no_version_and_no_upload_needs(registry):
    push(registry, FILES)
    push(registry, {"m.gguf": gguf(), "config.json": JSON}, "other")
    registry.delete("chat", 1, actor="ada", used=())
    begun = registry.begin(manifest({"model.safetensors": FILES["model.safetensors"], "new.txt": b"new"}))
    assert len(begun.wanted) == 1
    would = registry.collect(dry_run=True)
    assert (would.blobs, would.freed_bytes, would.dry_run) == (1, 0, True)  # the empty file
    registry.abandon("chat", begun.upload, actor="ada")
    assert registry.collect(dry_run=True).blobs == 2
    assert registry.collect().freed_bytes == len(FILES["model.safetensors"])
    assert registry.collect().blobs == 0
    assert {size for _, size in registry.blobs.every()} == {len(gguf()), len(JSON)}


def test_a_version_that_a_service_uses_or_an_alias_names_is_not_deleted(registry):
    push(registry, FILES)
    with pytest.raises(Conflict) as refused:
        registry.delete("chat", 1, actor="ada", used={("chat", 1)})
    assert refused.value.code == "SL-MODEL-IN-USE"
    registry.index.set_alias(Alias(name="chat", alias="prod", number=1), registry.by("ada"))
    with pytest.raises(Conflict, match="chat@prod"):
        registry.delete("chat", 1, actor="ada", used={("other", 1)})
    assert registry.index.version(Reference(name="chat")).number == 1


def test_whatever_fails_between_the_blobs_and_the_index_leaves_no_version_and_the_same_push_goes_on(registry):
    begun = registry.begin(manifest({"m.safetensors": BIG}))
    registry.write("chat", begun.upload, begun.wanted[0].sha256, 0, BIG, actor="ada")

    class Broken(MemoryModelIndex):
        def add(self, version):
            raise ConnectionError("the database went away")

    whole, registry.index = registry.index, Broken()
    with pytest.raises(ConnectionError):
        registry.commit("chat", begun.upload, actor="ada")
    registry.index = whole
    assert list(registry.index.versions()) == []
    assert registry.collect().blobs == 0  # the upload still needs it
    assert registry.begin(manifest({"m.safetensors": BIG})).wanted == ()
    assert registry.commit("chat", begun.upload, actor="ada").number == 1


def test_pushes_of_one_content_at_once_make_one_version(registry):
    numbers: list[int] = []

    def one(actor: str) -> None:
        numbers.append(push(registry, {"m.safetensors": BIG}, actor=actor).number)

    threads = [threading.Thread(target=one, args=(f"actor-{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers == [1] * 6
    assert (len(list(registry.blobs.every())), staged(registry)) == (1, [])


def test_there_are_only_so_many_uploads_at_once(registry):
    for i in range(UPLOADS_MAX):
        registry.begin(manifest(FILES, f"m{i}"))
    with pytest.raises(Conflict, match="under way"):
        registry.begin(manifest(FILES, "one-more"))
    assert registry.begin(manifest(FILES, "m0")).upload


@pytest.mark.parametrize(
    "change",
    [
        {"files": ()},
        {"name": "../x"},
        {"task": "a b"},
        {"tags": {"": ""}},
        {"files": [msgspec.to_builtins(file_of("../x", b"1"))]},
        {"files": [msgspec.to_builtins(file_of(path, b"1")) for path in "xX"]},
        {"files": ({"path": "x", "size_bytes": 2**44, "sha256": "1" * 64},)},
        {"files": ({"path": "x", "size_bytes": -1, "sha256": "1" * 64},)},
        {"files": ({"path": "x", "size_bytes": 0, "sha256": "1" * 64},)},
        {"files": ({"path": "x", "size_bytes": 1, "sha256": "../../x"},)},
        {"files": ({"path": "x", "size_bytes": 2**42, "sha256": "1" * 64},)},
    ],
)
def test_what_can_be_known_to_be_wrong_is_refused_before_a_byte_is_sent(registry, change):
    with pytest.raises(UsageError):
        registry.begin(
            msgspec.convert({**msgspec.to_builtins(manifest({"m.gguf": gguf()})), **change}, Manifest)
        )
    assert staged(registry) == []


def test_blobs_of_a_local_storage_are_read_only(tmp_path):
    local = LocalBlobs(tmp_path)
    push(Registry(MemoryModelIndex(), local, tmp_path / "uploads", lambda: 0.0), FILES)
    assert {local.path(sha256).stat().st_mode & 0o777 for sha256, _ in local.every()} == {0o444}
