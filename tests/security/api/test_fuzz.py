"""Whatever is sent, the API answers as it says it does, and never with an error of its own."""

import json
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.models.files import gguf, push

SCENE = """
kind: serve
name: chat
run: serve
replicas: 2
---
kind: job
name: big
run: x
env: {A: b}
resources: {cpus: 999}
"""

SLOW = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)

junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.just([[{"a": [None]}]])
)
specs = st.text(max_size=200) | st.sampled_from(
    [
        SCENE,
        "[" * 5000,
        "a: &x [*x, *x]",
        "kind: job\nname: j\nrun: x\nresources: {cpus: 1e999}\n",
        "\0",
        "---\n" * 99,
    ]
)
words = st.sampled_from(["chat", "chat/0", "big", "n0", "stop", "drain", "hold", "..", "%00", "fifo", "*"])
texts = st.one_of(
    words, words, words, st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=60)
)


def values(schema: dict[str, Any], document: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Mostly what the schema asks for, sometimes what it does not."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return values(document["components"]["schemas"][name], document)
    if "anyOf" in schema:
        return st.one_of(*(values(option, document) for option in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | texts
    match schema.get("type"):
        case "object":
            fields = {name: values(field, document) for name, field in schema.get("properties", {}).items()}
            return st.fixed_dictionaries({}, optional=fields) | junk
        case "array":
            return st.lists(values(schema["items"], document), max_size=3)
        case "integer":
            return st.integers(-2, 3) | st.integers()
        case "number":
            return st.floats(allow_nan=True) | st.integers()
        case "boolean":
            return st.booleans()
        case "string":
            return specs if schema.get("title") == "Text" else texts
        case _:
            return junk


@pytest.fixture
def described(house):
    house.apply(SCENE)
    push(house.running.models, {"m.gguf": gguf()})
    house.api.post("/v1/keys", json={"name": "ci"})
    house.cycle(5)
    return house.api.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def requests_of(document: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments for a client, for any of the operations."""

    def those_of(method: str, path: str, operation: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        places: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        for parameter in operation.get("parameters", []):
            places[parameter["in"]][parameter["name"]] = values(parameter["schema"], document) | texts
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        return st.fixed_dictionaries(
            {
                "method": st.just(method),
                "url": st.fixed_dictionaries(places["path"]).map(lambda named: _filled(path, named)),
                "params": st.fixed_dictionaries({}, optional=places["query"]),
                "headers": st.fixed_dictionaries({}, optional=places["header"]).map(_plain),
                "content": values(body, document).map(_json) if body else st.none(),
            }
        )

    return st.one_of(*(those_of(*operation) for operation in operations(document)))


def _filled(path: str, named: dict[str, Any]) -> str:
    for name, value in named.items():
        path = path.replace(f"{{{name}}}", quote(str(value), safe="/"))
    return path


def _plain(headers: dict[str, Any]) -> dict[str, str]:
    return {
        name: "".join(c for c in str(v) if c.isascii() and c.isprintable()) for name, v in headers.items()
    }


def _json(body: Any) -> bytes:
    return json.dumps(body).encode("utf-8", "surrogatepass")


def test_no_request_made_from_the_description_ends_in_an_error_of_ours(house, described):
    seen: set[int] = set()

    @settings(max_examples=500, deadline=None, suppress_health_check=SLOW, database=None)
    @given(requests_of(described))
    def ask(asked: dict[str, Any]) -> None:
        answer = house.api.request(**asked)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
        seen.add(answer.status_code)

    ask()
    assert {200, 404, 422} <= seen


@given(
    body=st.binary(max_size=200)
    | st.sampled_from([b"[" * 2**19, b'{"a":' * 10_000, b"\xff\xfe", b"1" * 10_000, b"NaN"])
)
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
def test_bytes_that_are_no_json_are_refused(house, body):
    answer = house.api.post("/v1/apply", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


def test_answers_are_what_the_description_says(house, described):
    """Every GET of a scene with something in it, against the schema that the document gives for it."""
    examples = {
        "/v1/workloads/{name}": "/v1/workloads/chat",
        "/v1/explain/{name}": "/v1/explain/big?level=2",
        "/v1/logs/{key}": "/v1/logs/chat/0",
        "/v1/series": "/v1/series?subject=chat/0&metric=cpu_cores",
        "/v1/models/{name}": "/v1/models/chat",
        "/v1/keys/{name}": "/v1/keys/ci",
        "/v1/models/{name}/{number}": "/v1/models/chat/1",
        "/v1/services/{name}": "/v1/services/chat",
        "/v1/services/{name}/lived": "/v1/services/chat/lived",
    }
    checked = 0
    for method, path, operation in operations(described):
        content = operation["responses"]["200"].get("content", {})
        if method == "get" and "application/json" in content:
            answer = house.api.get(examples.get(path, path))
            assert answer.status_code == 200
            schema = {**content["application/json"]["schema"], "components": described["components"]}
            jsonschema.validate(answer.json(), schema)
            checked += 1
        problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/ProblemDetails"}
    assert checked >= 14
    refused = house.api.get("/v1/workloads/nobody").json()
    schema = {"$ref": "#/components/schemas/ProblemDetails", "components": described["components"]}
    jsonschema.validate(refused, schema)
