"""What routes return: msgspec values as JSON, and the same types in the OpenAPI document."""

from typing import Any

import msgspec
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from suanli.api.guard import OPEN_PATHS
from suanli.api.problems import ProblemDetails

Responses = dict[int | str, dict[str, Any]]

_REF = "#/components/schemas/{name}"
_answers: dict[str, type] = {}


def answer(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def returns(kind: type, meaning: str) -> Responses:
    """What a route documents: its answer."""
    _answers[kind.__name__] = kind
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {200: {"description": meaning, "content": {"application/json": {"schema": schema}}}}


PROBLEM: Responses = {
    "default": {
        "description": "A problem, as RFC 9457 describes it.",
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(name="ProblemDetails")}}},
    }
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with the schemas of the answers and who may ask."""
    if app.openapi_schema is None:
        described = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version=app.openapi_version,
            description=app.description,
            routes=app.routes,
        )
        _, schemas = msgspec.json.schema_components([*_answers.values(), ProblemDetails], ref_template=_REF)
        components = described.setdefault("components", {})
        components.setdefault("schemas", {}).update(schemas)
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
        for path in OPEN_PATHS & described["paths"].keys():
            for operation in described["paths"][path].values():
                operation["security"] = []
        app.openapi_schema = described
    return app.openapi_schema
