"""What every index of models promises, in memory, on SQLite and on PostgreSQL."""

import threading
from typing import Any

import pytest

from suanli.domain.errors import Conflict, NotFound, UsageError
from suanli.domain.model import (
    EVALUATIONS_KEPT,
    TAGS_MAX,
    Evaluation,
    Format,
    ModelFile,
    ModelVersion,
    Reference,
    digest_of,
    parse_reference,
)
from suanli.ports.model_index import Act, Alias, By, ModelIndex
from suanli.ports.store import Store

ADA = By("ada", 5.0)


@pytest.fixture
def index(store: Store) -> ModelIndex:
    return store.models


def version(name: str = "chat", content: str = "a", **more: Any) -> ModelVersion:
    files = (ModelFile(path="m.gguf", size_bytes=3, sha256=(content * 64)[:64]),)
    return ModelVersion(
        name=name,
        digest=digest_of(files),
        files=files,
        format=Format.GGUF,
        actor="ada",
        created_s=1.0,
        **more,
    )


def three(index: ModelIndex) -> None:
    for content in "abc":
        index.add(version(content=content))


def prod(index: ModelIndex, number: int, **more: Any) -> Alias:
    return index.set_alias(Alias(name="chat", alias="prod", number=number), ADA, **more)


def named(index: ModelIndex, text: str) -> int:
    return index.version(parse_reference(text)).number


def test_versions_are_numbered_by_name_from_one(index: ModelIndex):
    added = [index.add(version(name, content)) for name, content in (("b", "1"), ("a", "1"), ("b", "2"))]
    assert [v.reference for v in added] == ["b/1", "a/1", "b/2"]
    assert [v.reference for v in index.versions()] == ["a/1", "b/1", "b/2"]
    assert index.versions("b") == [added[0], added[2]]
    assert not index.versions("nobody")


def test_the_same_content_again_is_the_same_version(index: ModelIndex):
    first = index.add(version(tags={"x": "y"}))
    assert index.add(version(tags={"other": "tags"}, task="embeddings")) == first
    assert len(index.changes("chat")) == 1
    assert index.add(version("other")).number == 1


def test_a_number_is_never_given_twice(index: ModelIndex):
    three(index)
    index.delete("chat", 3, ADA)
    assert index.add(version(content="c")).number == 4


def test_a_reference_finds_the_newest_a_number_or_what_an_alias_names(index: ModelIndex):
    three(index)
    prod(index, 2)
    assert [named(index, text) for text in ("chat", "chat/1", "models:/chat@prod")] == [3, 1, 2]
    for missing in ("nobody", "nobody/1", "chat/9", "chat@dev", "nobody@prod"):
        with pytest.raises(NotFound):
            index.version(parse_reference(missing))


def test_an_alias_moves_only_from_where_its_mover_saw_it(index: ModelIndex):
    three(index)
    prod(index, 1, expected=0)
    with pytest.raises(Conflict) as refused:
        prod(index, 3, expected=2)
    assert refused.value.evidence == {"expected": 2, "current": 1}
    with pytest.raises(Conflict):
        prod(index, 2, expected=0)
    prod(index, 2, expected=1)
    assert named(index, "chat@prod") == 2
    with pytest.raises(NotFound):
        prod(index, 9)


def test_rolling_back_walks_back_step_by_step_and_starts_anew_after_a_move(index: ModelIndex):
    three(index)
    for number in (1, 2, 2, 3):
        prod(index, number)
    assert [index.roll_back("chat", "prod", ADA).number for _ in range(2)] == [2, 1]
    with pytest.raises(Conflict):
        index.roll_back("chat", "prod", ADA)
    prod(index, 3)
    assert index.roll_back("chat", "prod", ADA).number == 1
    assert named(index, "chat@prod") == 1


def test_rolling_back_passes_over_versions_that_were_deleted(index: ModelIndex):
    three(index)
    for number in (1, 2, 3):
        prod(index, number)
    index.delete("chat", 2, ADA)
    assert index.roll_back("chat", "prod", ADA).number == 1


def test_an_alias_is_promoted_to_what_another_names(index: ModelIndex):
    three(index)
    index.set_alias(Alias(name="chat", alias="staging", number=3), ADA)
    prod(index, 1)
    assert index.copy_alias("chat", "staging", "prod", ADA).number == 3
    assert index.aliases("chat") == [
        Alias(name="chat", alias="prod", number=3),
        Alias(name="chat", alias="staging", number=3),
    ]
    assert index.roll_back("chat", "prod", ADA).number == 1
    with pytest.raises(NotFound):
        index.copy_alias("chat", "nobody", "prod", ADA)


def test_an_alias_that_is_dropped_has_no_past(index: ModelIndex):
    three(index)
    prod(index, 1)
    prod(index, 2)
    index.drop_alias("chat", "prod", ADA)
    with pytest.raises(NotFound):
        named(index, "chat@prod")
    prod(index, 3)
    with pytest.raises(Conflict):
        index.roll_back("chat", "prod", ADA)


def test_what_an_alias_names_is_not_deleted(index: ModelIndex):
    three(index)
    prod(index, 2)
    with pytest.raises(Conflict) as refused:
        index.delete("chat", 2, ADA)
    assert refused.value.evidence == {"aliases": ["prod"]}
    index.delete("chat", 1, ADA)
    assert [v.number for v in index.versions("chat")] == [2, 3]
    with pytest.raises(NotFound):
        index.delete("chat", 1, ADA)


def test_tags_are_set_and_taken_away_and_bounded(index: ModelIndex):
    index.add(version(tags={"stays": "1", "goes": "2"}))
    index.tag("chat", 1, {"goes": None, "comes": "3", "was never there": None}, ADA)
    assert index.version(Reference(name="chat")).tags == {"stays": "1", "comes": "3"}
    with pytest.raises(UsageError):
        index.tag("chat", 1, {f"t{i}": "" for i in range(TAGS_MAX)}, ADA)
    assert len(index.version(Reference(name="chat")).tags) == 2


def test_the_latest_evaluations_are_kept(index: ModelIndex):
    index.add(version())
    for at in range(EVALUATIONS_KEPT + 2):
        index.add_evaluation(
            "chat", 1, Evaluation(suite="s", metrics={"f1": 0.5}, at_s=float(at), actor="eve")
        )
    kept = index.version(Reference(name="chat")).evaluations
    assert [kept[0].at_s, len(kept)] == [2.0, EVALUATIONS_KEPT]


def test_every_change_says_who_and_when(index: ModelIndex):
    three(index)
    prod(index, 1)
    prod(index, 2)
    index.roll_back("chat", "prod", By("eve", 7.0))
    index.tag("chat", 2, {"a": "b"}, ADA)
    index.add_evaluation("chat", 2, Evaluation(suite="s", metrics={}, at_s=8.0, actor="bob"))
    index.drop_alias("chat", "prod", ADA)
    index.delete("chat", 1, ADA)
    told = [(c.act, c.actor, c.number, c.former) for c in index.changes("chat")]
    assert told == [
        *((Act.PUSHED, "ada", number, None) for number in (1, 2, 3)),
        (Act.ALIASED, "ada", 1, None),
        (Act.ALIASED, "ada", 2, 1),
        (Act.ROLLED_BACK, "eve", 1, 2),
        (Act.TAGGED, "ada", 2, None),
        (Act.EVALUATED, "bob", 2, None),
        (Act.UNALIASED, "ada", None, 1),
        (Act.DELETED, "ada", 1, None),
    ]
    assert [c.act for c in index.changes("chat", 2)] == [Act.UNALIASED, Act.DELETED]


def test_many_at_once_get_numbers_of_their_own(index: ModelIndex):
    threads = [
        threading.Thread(target=index.add, args=(version(content=f"{i:x}"),)) for i in (*range(8), *range(8))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [v.number for v in index.versions("chat")] == list(range(1, 9))
