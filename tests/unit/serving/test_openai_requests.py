"""What is read of an OpenAI request before it is passed on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.serving.gateway import openai
from suanli.serving.gateway.openai import CHAT, COMPLETIONS, EMBEDDINGS, Malformed


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        openai.tokens_max(openai.read(body), COMPLETIONS, len(body))
    except Malformed:
        return  # the only error there may be


@pytest.mark.parametrize(
    ("body", "operation", "tokens"),
    [
        (b'{"model":"m"}', CHAT, 3 + 1024),
        (b'{"model":"m"}', EMBEDDINGS, 3),
        (b'{"max_tokens":5}', CHAT, 4 + 5),
        (b'{"max_tokens":5,"max_completion_tokens":7}', CHAT, 10 + 7),
        (b'{"max_tokens":7,"max_completion_tokens":5}', CHAT, 10 + 7),
        (b'{"max_tokens":5,"n":3}', CHAT, 5 + 15),
        (b'{"max_tokens":5,"n":1,"best_of":4}', COMPLETIONS, 8 + 20),
        (b'{"max_tokens":5,"prompt":["a","b"]}', COMPLETIONS, 8 + 10),
        (b'{"max_tokens":5,"prompt":[1,2,3]}', COMPLETIONS, 8 + 5),
        (b'{"max_tokens":5,"prompt":[[1],[2]]}', COMPLETIONS, 8 + 10),
        (b"{}", CHAT, 1 + 1024),
    ],
)
def test_the_most_that_a_request_may_use(body: bytes, operation: str, tokens: int) -> None:
    assert openai.tokens_max(openai.read(body), operation, len(body)) == tokens


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"null", None),
        (b'{"model":"a"} trailing', None),
        (b'{"model":"\xff"}', None),
        (b'{"model":7}', "model"),
        (b'{"max_tokens":"many"}', "max_tokens"),
        (b'{"max_tokens":-1}', "max_tokens"),
        (b'{"max_tokens":99999999999999999999999}', "max_tokens"),
        (b'{"n":1.5}', "n"),
        (b'{"stream":"yes"}', "stream"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    ],
)
def test_a_malformed_body_is_refused_and_its_field_named(body: bytes, param: str | None) -> None:
    with pytest.raises(Malformed) as refused:
        openai.read(body)
    assert refused.value.param == param
