"""Text generation by transformers, in a real process with a small random Llama, asked by OpenAI's own client."""

import json
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from runtime_replica import Replica, replica, save_llama, wait_until

CONTEXT = 1024
LONG = 900
"""Tokens; the model doesn't end the text that this is asked of before."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("llama")
    save_llama(made, context=CONTEXT)
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Replica]:
    with replica("--runtime", "transformers", "--batch-max", "4", model_dir=folder) as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def client(served: Replica) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def greedy(client: openai.OpenAI, prompt: str, max_tokens: int) -> str:
    answer = client.completions.create(model="tiny", prompt=prompt, max_tokens=max_tokens, temperature=0)
    return answer.choices[0].text


def test_requests_that_share_a_batch_get_the_text_that_they_get_alone(
    served: Replica, client: openai.OpenAI
) -> None:
    asked = [("the quick brown fox " * (1 + number % 5), 5 + 7 * number) for number in range(12)]
    alone = [greedy(client, *one) for one in asked]
    with ThreadPoolExecutor(12) as threads:
        together = list(threads.map(lambda one: greedy(client, *one), asked))
    assert together == alone
    assert len(set(alone)) > 6, "the model says different things"
    assert (
        served.metric("suanli_runtime_batch_size_sum")
        > 2 * served.metric("suanli_runtime_batch_size_count") / 2
    )


def test_a_stream_gives_the_same_text_piece_by_piece_and_its_usage(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="tiny", prompt="jumps over", max_tokens=30, temperature=0)
    chunks = list(
        client.completions.create(
            model="tiny", prompt="jumps over", max_tokens=30, temperature=0, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    *pieces, last = chunks
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
    assert len(pieces) > 10
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert last.usage == whole.usage
    assert whole.usage
    assert whole.usage.completion_tokens == 30
    assert whole.usage.total_tokens == 30 + whole.usage.prompt_tokens


def test_a_chat_streams_after_the_role(client: openai.OpenAI) -> None:
    said = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    ]
    chunks = list(
        client.chat.completions.create(model="x", messages=said, max_tokens=8, temperature=0, stream=True)  # pyright: ignore[reportArgumentType, reportCallIssue]
    )
    whole = client.chat.completions.create(model="x", messages=said, max_completion_tokens=8, temperature=0)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert whole.model == "tiny"


def test_a_stream_ends_with_a_comment_on_its_usage(served: Replica) -> None:
    body = {"prompt": "the", "max_tokens": 3, "temperature": 0, "stream": True}
    answer = served.ask("/v1/completions", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *_, usage, done, empty = answer.text.split("\n\n")
    assert (done, empty) == ("data: [DONE]", "")
    told = json.loads(usage.removeprefix(": usage "))
    assert told == {"prompt_tokens": 1, "completion_tokens": 3}
    assert "usage" not in answer.text.split(": usage")[0]


def test_the_same_seed_draws_the_same_text_whoever_else_is_there(client: openai.OpenAI) -> None:
    def drawn(seed: int) -> str:
        answer = client.completions.create(
            model="tiny", prompt="wizards", max_tokens=24, temperature=1.2, top_p=0.9, seed=seed
        )
        return answer.choices[0].text

    alone = [drawn(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(drawn, range(4))) == alone
    assert len(set(alone)) == 4


def test_a_text_ends_before_its_stop_text(client: openai.OpenAI) -> None:
    whole = greedy(client, "lazy dog", 40)
    stop = whole[11:14]
    answer = client.completions.create(
        model="tiny", prompt="lazy dog", max_tokens=40, temperature=0, stop=[stop]
    )
    assert answer.choices[0].text == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("path", "body", "field", "said"),
    [
        ("/v1/completions", {}, "prompt", "required"),
        ("/v1/completions", {"prompt": 3}, "prompt", "got `int`"),
        ("/v1/completions", {"prompt": ["a", "b"]}, "prompt", "one request for each prompt"),
        ("/v1/completions", {"prompt": ""}, "prompt", "empty"),
        ("/v1/completions", {"prompt": "a", "max_tokens": 0}, "max_tokens", ">= 1"),
        ("/v1/completions", {"prompt": "a", "temperature": -1}, "temperature", ">= 0"),
        ("/v1/completions", {"prompt": "a", "top_p": 0}, "top_p", "> 0"),
        ("/v1/completions", {"prompt": "a", "n": 2}, "n", "leave it out"),
        ("/v1/completions", {"prompt": "a", "stop": [""]}, "stop", "empty"),
        ("/v1/chat/completions", {"messages": []}, "messages", "length >= 1"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "judge", "content": "x"}]},
            "messages[0].role",
            "judge",
        ),
        ("/v1/chat/completions", {"messages": [], "tools": [{}]}, "tools", "not supported"),
        ("/v1/completions", b"[", None, "not JSON"),
        ("/v1/completions", b"[" * 100_000, None, "not JSON"),
        ("/v1/completions", b'{"prompt": "\\ud800"}', None, "not JSON"),
        ("/v1/completions", b"[]", None, "JSON object"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_which_field(
    served: Replica, path: str, body: object, field: str | None, said: str
) -> None:
    answer = served.ask(path, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == field
    assert said in error["message"]


def test_a_prompt_that_is_too_long_is_told_the_arithmetic(served: Replica) -> None:
    answer = served.ask("/v1/completions", {"prompt": "the" * 1000, "max_tokens": 50})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "context_length_exceeded")
    assert f"sees {CONTEXT} at once: shorten the prompt to {CONTEXT - 50} tokens" in error["message"]


def test_what_is_not_offered_is_named(served: Replica) -> None:
    answer = served.ask("/v1/embeddings", {"input": "x"})
    assert answer.status_code == 404
    assert "it offers /v1/chat/completions, /v1/completions" in answer.json()["error"]["message"]
    assert served.http.get("/v1/completions").status_code == 405
    assert served.http.get("/etc/passwd").status_code == 404
    assert served.http.get("/healthz").json() == {"status": "alive"}


def test_a_body_that_is_too_long_is_refused_before_it_is_read_whole(served: Replica) -> None:
    def status(head: bytes, body: bytes = b"") -> bytes:
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + body)
            return connection.recv(12)

    assert status(b"Content-Length: 99999999999") == b"HTTP/1.1 413"
    chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    assert status(b"Transfer-Encoding: chunked", 16 * chunk + b"1\r\nx\r\n") == b"HTTP/1.1 413"


def test_a_client_that_leaves_frees_its_place_in_the_batch(served: Replica) -> None:
    before = served.metric("suanli_runtime_cancelled_total")
    body = {"prompt": "the quick brown fox", "max_tokens": LONG, "temperature": 0, "stream": True}
    with (
        httpx.Client(base_url=served.url) as client,
        client.stream("POST", "/v1/completions", json=body) as answer,
    ):
        events = answer.iter_bytes()
        next(events)
    wait_until(lambda: served.metric("suanli_runtime_in_flight") == 0)
    assert served.metric("suanli_runtime_cancelled_total") == before + 1


def test_a_term_finishes_what_is_in_flight_and_takes_nothing_new(folder: Path) -> None:
    """And a second one ends at once."""
    runtime = ("--runtime", "transformers")
    with replica(*runtime, model_dir=folder) as one, replica(*runtime, model_dir=folder) as other:
        assert _ended_in_flight(one.wait_ready(), terms=1) == 0
        assert _ended_in_flight(other.wait_ready(), terms=2) == 143


def _ended_in_flight(running: Replica, terms: int) -> int:
    body = {"prompt": "the quick brown fox", "max_tokens": LONG, "temperature": 0, "stream": True}
    with running.http.stream("POST", "/v1/completions", json=body) as answer:
        events = answer.iter_bytes()
        next(events)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for_line("no new requests are taken")
        if terms == 2:
            running.process.send_signal(signal.SIGTERM)
            return running.process.wait(timeout=60)
        with httpx.Client(base_url=running.url) as late:
            refused = late.post("/v1/completions", json={"prompt": "a"})
            assert (refused.status_code, refused.headers["connection"]) == (503, "close")
            assert late.get("/readyz").status_code == 503
            assert late.get("/healthz").status_code == 200
        assert b"".join(events).endswith(b"data: [DONE]\n\n")
    return running.process.wait(timeout=60)


def test_texts_are_scored_each_on_its_own(served: Replica) -> None:
    texts = ["the quick brown fox", "jumps over the lazy dog " * 20]
    both = served.ask("/score", {"inputs": texts}).json()["outputs"]
    alone = [served.ask("/score", {"inputs": text}).json()["outputs"][0] for text in texts]
    assert [one["log_likelihood"] for one in both] == pytest.approx([one["log_likelihood"] for one in alone])
    assert all(one["log_likelihood"] < 0 for one in both)
    assert [one["bytes"] for one in both] == [len(text) for text in texts]
    refused = served.ask("/score", {"inputs": []})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "inputs")
