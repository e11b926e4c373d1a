"""Tokens are read off an answer, whatever pieces it comes in."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.serving.gateway.answer_usage import JsonUsage, StreamUsage


def fed(usage: JsonUsage | StreamUsage, data: bytes, cuts: list[int]) -> tuple[int, int]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        usage.feed(data[start:end])
    return usage.read(7)


CUTS = st.lists(st.integers(0, 10**6), max_size=12)
STREAM = b"".join(b'data: {"choices":[{"delta":{"content":"data: \\n%d"}}]}\n\n' % i for i in range(20))


@given(CUTS)
def test_a_json_answer_says_what_it_used(cuts: list[int]) -> None:
    answer = {
        "id": "x",
        "choices": [{"text": '"usage":{"prompt_tokens":1}'}],
        "usage": {"prompt_tokens": 31, "completion_tokens": 12},
    }
    assert fed(JsonUsage(True), json.dumps(answer).encode(), cuts) == (31, 12)


@given(CUTS)
def test_a_long_json_answer_says_it_at_its_end(cuts: list[int]) -> None:
    vectors = b"0.123," * 60_000
    answer = b'{"data":[%b0],"model":"m","usage":{"prompt_tokens": 44,"total_tokens":44}}' % vectors
    assert fed(JsonUsage(False), answer, cuts) == (44, 0)


@pytest.mark.parametrize(
    "answer", [b"", b"{", b"[]", b'{"usage":null}', b'{"usage":{"prompt_tokens":"many"}}', b"\xff\xfe"]
)
def test_an_answer_that_says_nothing_is_estimated_by_its_length(answer: bytes) -> None:
    assert fed(JsonUsage(True), answer, []) == (7, len(answer) // 4)
    assert fed(JsonUsage(False), answer, []) == (7, 0)


@given(CUTS)
def test_a_stream_says_it_in_its_last_chunk(cuts: list[int]) -> None:
    end = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":21}}\n\ndata: [DONE]\n\n'
    assert fed(StreamUsage(), STREAM + end, cuts) == (5, 21)


@given(CUTS)
def test_a_stream_says_it_in_a_comment(cuts: list[int]) -> None:
    end = b': usage {"prompt_tokens":6,"completion_tokens":22,"total_tokens":28}\n\ndata: [DONE]\n\n'
    assert fed(StreamUsage(), STREAM + end, cuts) == (6, 22)


@given(CUTS)
def test_chunks_are_counted_where_a_stream_says_nothing(cuts: list[int]) -> None:
    assert fed(StreamUsage(), STREAM + b"data: [DONE]\n\n", cuts) == (7, 20)
    assert fed(StreamUsage(), STREAM, cuts) == (7, 20)
