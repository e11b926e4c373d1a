"""What a runtime understands of a request in OpenAI's shape."""

import pytest

from suanli.serving.runtime.wire import Chat, read


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        (b'"max_completion_tokens":1,"max_tokens":100000', 1),
        (b'"max_completion_tokens":9', 9),
        (b'"max_tokens":7', 7),
        (b'"seed":1', 256),
    ],
)
def test_an_answer_is_as_long_as_the_newer_field_says(told: bytes, tokens: int) -> None:
    asked = read(b'{"messages":[{"role":"user","content":"hi"}],%b}' % told, Chat)
    assert asked.generation(256).max_tokens == tokens
