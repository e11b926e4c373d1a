"""A replica's port answers its gateway alone: whoever else reaches it does not get past keys, limits and budgets."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from suanli.serving.runtime import options
from suanli.serving.runtime.app import OPEN, WORK, App
from suanli.serving.runtime.metrics import Metrics

TOKEN = "5" * 64
WRONG = (
    {},
    {"authorization": ""},
    {"authorization": "Bearer "},
    {"authorization": TOKEN},
    {"authorization": f"Basic {TOKEN}"},
    {"authorization": f"Bearer {TOKEN[:-1]}"},
    {"authorization": f"Bearer {TOKEN}5"},
    {"authorization": f"Bearer {TOKEN[:-1]}6"},
    {"x-authorization": f"Bearer {TOKEN}"},
)


def statuses(app: App, method: str, path: str, *heads: dict[str, str]) -> list[int]:
    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            return [(await client.request(method, path, headers=head)).status_code for head in heads]

    return asyncio.run(ask())


@pytest.mark.parametrize("path", [*WORK, "/metrics", "/v1/models", "/nothing"])
def test_without_the_token_nothing_is_answered_and_not_even_told_what_is_there(path: str) -> None:
    app = App(Metrics(), TOKEN)
    for method in ("GET", "POST", "DELETE"):
        assert statuses(app, method, path, *WRONG) == [401] * len(WRONG)
        assert statuses(app, method, path, {"authorization": f"Bearer {TOKEN}"}) != [401]


@pytest.mark.parametrize("path", OPEN)
def test_health_is_told_to_whoever_asks(path: str) -> None:
    assert 401 not in statuses(App(Metrics(), TOKEN), "GET", path, *WRONG)


def test_a_runtime_by_hand_asks_for_none() -> None:
    assert statuses(App(Metrics()), "GET", "/metrics", *WRONG) == [200] * len(WRONG)


def test_a_models_own_code_does_not_find_the_token_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(options.SHOWN_BY_GATEWAY, TOKEN)
    given = options.read(["--runtime", "onnx", "--name", "m", "--model-dir", str(tmp_path)])
    assert given.token == TOKEN
    assert options.SHOWN_BY_GATEWAY not in os.environ
