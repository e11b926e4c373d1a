"""How people name versions."""

from typing import Any

import pytest

from suanli.domain.errors import UsageError
from suanli.domain.model import (
    ModelFile,
    Reference,
    check_alias,
    check_name,
    check_tags,
    check_task,
    digest_of,
    parse_reference,
)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("chat", Reference(name="chat")),
        ("chat/3", Reference(name="chat", number=3)),
        ("chat@prod", Reference(name="chat", alias="prod")),
        ("models:/chat/3", Reference(name="chat", number=3)),
        ("models:/chat@prod", Reference(name="chat", alias="prod")),
        ("Qwen2.5-0.5B_x/12", Reference(name="Qwen2.5-0.5B_x", number=12)),
    ],
)
def test_a_reference_is_read_and_written_alike(text, means):
    assert parse_reference(text) == means
    assert str(means) == text.removeprefix("models:/")


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "chat/", "chat/0", "chat/01", "chat/-1", "chat/latest", "chat@", "chat@3", "chat@3x"),
        *("chat/3@prod", "models://chat/3", "models:chat", "../chat", "a..b", "chat.", "-chat", "chat chat"),
        *(
            "чат",
            "chat/٣",
            "chat@prod@x",
            "org/model",
            "a" * 97,
            f"chat/{'9' * 10}",
            "chat@..",
            "MODELS:/chat",
        ),
        *("chat\n", "chat@prod/3"),
    ],
)
def test_what_is_none_is_refused_with_the_forms_that_are(text):
    with pytest.raises(UsageError) as refused:
        parse_reference(text)
    assert "chat@prod" in refused.value.remedy


def test_names_aliases_tasks_and_tags_are_plain():
    assert [check_name("gpt-2"), check_alias("prod"), check_task("embeddings"), check_task("")]
    assert check_tags({"license": "MIT", "hf/type": "模型 one"})
    refused: list[tuple[Any, Any]] = [
        (check_name, "a/b"),
        (check_alias, "3"),
        (check_alias, "a/b"),
        (check_task, "two words"),
        (check_tags, {"": "x"}),
        (check_tags, {"a": "two\nlines"}),
        (check_tags, {"a": "x" * 1001}),
        (check_tags, {f"t{i}": "" for i in range(65)}),
    ]
    for check, bad in refused:
        with pytest.raises(UsageError):
            check(bad)


def test_a_digest_depends_on_paths_and_contents_and_not_on_order():
    a = ModelFile(path="a", size_bytes=1, sha256="1" * 64)
    b = ModelFile(path="b", size_bytes=1, sha256="2" * 64)
    assert digest_of([a, b]) == digest_of([b, a])
    swapped = [
        ModelFile(path="b", size_bytes=1, sha256="1" * 64),
        ModelFile(path="a", size_bytes=1, sha256="2" * 64),
    ]
    assert len({digest_of([a, b]), digest_of(swapped), digest_of([a]), digest_of([])}) == 4
