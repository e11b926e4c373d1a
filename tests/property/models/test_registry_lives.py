"""Whatever is pushed, deleted, collected and interrupted, in whatever order: versions are whole, and garbage goes."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.models.files import everything_below, gguf, push

from suanli.domain.errors import SuanliError
from suanli.domain.model import digest_of
from suanli.models.registry import Registry
from suanli.models.storage import LocalBlobs
from suanli.ports.memory_model_index import MemoryModelIndex
from suanli.ports.model_index import Alias

CONTENTS = [
    {
        "m.gguf": gguf(entries=number),
        **({"notes.txt": b"shared"} if number % 2 else {}),
        "n.txt": bytes([65 + number]),
    }
    for number in range(4)
]


class PowerCut(BaseException):
    """The process ends here."""


class Fragile:
    """Passes calls on to `inner`, and dies before or after the one whose turn it is."""

    def __init__(self, inner: Any, calls: list[int]) -> None:
        self._inner, self._calls = inner, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("put", "remove", "size", "add", "delete", "drop"):
            return found

        def call(*arguments: Any) -> Any:
            self._count()
            answer = found(*arguments)
            self._count()
            return answer

        return call

    def _count(self) -> None:
        self._calls[0] -= 1
        if self._calls[0] == 0:
            raise PowerCut


steps = st.one_of(
    st.tuples(st.just("push"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("delete"), st.integers(1, 4), st.integers(0, 1)),
    st.tuples(st.just("alias"), st.integers(1, 4), st.integers(0, 1)),
    st.tuples(st.just("gc"), st.just(0), st.just(0)),
)
cuts = st.integers(0, 25)
"""After how many calls the power goes; 0: never."""


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(steps, cuts), max_size=12))
def test_versions_are_whole_and_what_nobody_needs_goes(life):
    with tempfile.TemporaryDirectory() as folder:
        root, index = Path(folder), MemoryModelIndex()
        for step, cut in life:
            calls = [cut]
            with suppress(PowerCut, SuanliError):  # refused, or gone: what is there must be right
                _do(_fragile(index, root, calls), *step)
            _require_whole(index, LocalBlobs(root))
        _require_clean_end(index, root)


def _fragile(index: MemoryModelIndex, root: Path, calls: list[int]) -> Registry:
    frail: Any = Registry(index, LocalBlobs(root), root / "uploads", lambda: 0.0)
    for part in ("index", "blobs", "_uploads"):
        setattr(frail, part, Fragile(getattr(frail, part), calls))
    return frail


def _do(registry: Registry, act: str, which: int, of: int) -> None:
    name = ("a", "b")[of]
    match act:
        case "push":
            push(registry, CONTENTS[which], name)
        case "delete":
            registry.delete(name, which, actor="ada", used=())
        case "alias":
            registry.index.set_alias(Alias(name=name, alias="prod", number=which), registry.by("ada"))
        case _:
            registry.collect()


def _require_whole(index: MemoryModelIndex, blobs: LocalBlobs) -> None:
    numbers = {(version.name, version.number) for version in index.versions()}
    for version in index.versions():
        assert version.digest == digest_of(version.files)
        for file in version.files:
            assert blobs.size(file.sha256) == file.size_bytes
    assert {(alias.name, alias.number) for alias in index.aliases()} <= numbers


def _require_clean_end(index: MemoryModelIndex, root: Path) -> None:
    """Every push succeeds when it is sent again, and nothing is left but what versions need."""
    registry = Registry(index, LocalBlobs(root), root / "uploads", lambda: 0.0)
    for number, content in enumerate(CONTENTS):
        push(registry, content, ("a", "b")[number % 2])
    for upload, _ in list(registry._uploads.every()):
        registry._uploads.drop(upload)
    registry.collect()
    needed = {file.sha256 for version in index.versions() for file in version.files}
    assert {sha256 for sha256, _ in registry.blobs.every()} == needed
    assert everything_below(root / "uploads") == []


def test_the_power_can_go_at_every_single_call_of_a_push(tmp_path):
    cut = 0
    while True:
        cut += 1
        root, index, calls = tmp_path / str(cut), MemoryModelIndex(), [cut]
        try:
            push(_fragile(index, root, calls), CONTENTS[1])
        except PowerCut:
            _require_whole(index, LocalBlobs(root))
            _require_clean_end(index, root)
            continue
        break
    assert cut > 10
