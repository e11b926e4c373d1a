"""The index in memory and the one on a database do the same, whatever is asked of them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suanli.domain.errors import SuanliError
from suanli.domain.model import Evaluation, Format, ModelFile, ModelVersion, Reference, digest_of
from suanli.ports.memory_model_index import MemoryModelIndex
from suanli.ports.model_index import Alias, By, ModelIndex
from suanli.store import SqlStore

names = st.sampled_from(["a", "b"])
numbers = st.integers(1, 4)
aliases = st.sampled_from(["prod", "dev"])
ADA = By("ada", 1.0)

asks = st.one_of(
    st.tuples(st.just("add"), names, st.integers(0, 3)),
    st.tuples(st.just("set_alias"), names, aliases, numbers, st.none() | st.integers(0, 3)),
    st.tuples(st.just("copy_alias"), names, aliases, aliases),
    st.tuples(st.just("roll_back"), names, aliases),
    st.tuples(st.just("drop_alias"), names, aliases),
    st.tuples(
        st.just("tag"), names, numbers, st.dictionaries(st.sampled_from("xyz"), st.none() | st.just("v"))
    ),
    st.tuples(st.just("evaluate"), names, numbers),
    st.tuples(st.just("delete"), names, numbers),
    st.tuples(st.just("version"), names, st.none() | numbers, st.just("") | aliases),
)


def answer(index: ModelIndex, act: str, name: str, *rest: Any) -> Any:
    match act:
        case "add":
            files = (ModelFile(path="m", size_bytes=1, sha256=str(rest[0]) * 64),)
            return index.add(
                ModelVersion(name=name, digest=digest_of(files), files=files, format=Format.GGUF)
            )
        case "set_alias":
            return index.set_alias(Alias(name=name, alias=rest[0], number=rest[1]), ADA, expected=rest[2])
        case "evaluate":
            return index.add_evaluation(name, rest[0], Evaluation(suite="s", metrics={"f1": 0.5}, at_s=1.0))
        case "version":
            number = None if rest[1] else rest[0]
            return index.version(Reference(name=name, number=number, alias=rest[1]))
        case _:
            return getattr(index, act)(name, *rest, ADA)


def outcome(index: ModelIndex, ask: tuple[Any, ...]) -> Any:
    try:
        return answer(index, *ask)
    except SuanliError as error:
        return type(error), error.sentence, error.evidence


@pytest.fixture(scope="module")
def databases(tmp_path_factory, empty_database) -> Path:
    return tmp_path_factory.mktemp("indexes")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(asks, min_size=5, max_size=40))
def test_both_answer_alike_and_hold_the_same(databases, empty_database, wanted):
    path = databases / "one.db"
    path.write_bytes(empty_database.read_bytes())
    for left_behind in ("-wal", "-shm"):
        path.with_name(path.name + left_behind).unlink(missing_ok=True)
    store, memory = SqlStore(f"sqlite:///{path}"), MemoryModelIndex()
    try:
        for ask in wanted:
            assert outcome(store.models, ask) == outcome(memory, ask), ask
        for name in ("", "a", "b"):
            assert list(store.models.versions(name)) == list(memory.versions(name))
            assert list(store.models.aliases(name)) == list(memory.aliases(name))
            assert list(store.models.changes(name)) == list(memory.changes(name))
    finally:
        store.close()
