"""Errors as RFC 9457 has them. Made in one place, so that nothing internal leaks and every surface says the same."""

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from suanli.domain.errors import NotFound, SuanliError, UsageError
from suanli.spec import Problem, SpecErrors

log = structlog.get_logger("suanli.api")


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """`application/problem+json`. `problems` are the single mistakes of a declaration or request, with their places."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str
    evidence: dict[str, Any]
    exit_code: int
    request_id: str
    problems: tuple[Problem, ...] = ()


class TooLarge(UsageError):
    """The request is too large."""

    code = "SL-TOO-LARGE"
    http_status = 413


class NoSuchRoute(NotFound):
    """There is nothing at that address."""

    code = "SL-ROUTE"


class WrongMethod(UsageError):
    """That address does not answer this method."""

    code = "SL-METHOD"
    http_status = 405


class WrongRequest(UsageError):
    """The request is not of the form that the API describes."""

    code = "SL-REQUEST"
    http_status = 422

    def __init__(self, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(
            remedy="See /openapi.json.", evidence={"fields": [problem.field for problem in problems[:20]]}
        )
        self.problems = problems


_BY_STATUS: dict[int, type[SuanliError]] = {
    400: WrongRequest,
    404: NoSuchRoute,
    405: WrongMethod,
    413: TooLarge,
}
"""What the framework itself answers with."""


def details(error: SuanliError, request_id: str) -> ProblemDetails:
    return ProblemDetails(
        type=f"urn:suanli:error:{error.code}",
        title=error.sentence,
        status=error.http_status,
        code=error.code,
        detail=error.sentence,
        remedy=error.remedy,
        evidence={
            name: value
            for name, value in msgspec.to_builtins(error.evidence, enc_hook=str, str_keys=True).items()
            if name != "problems"
        },
        exit_code=error.exit_code,
        request_id=request_id,
        problems=error.problems if isinstance(error, SpecErrors | WrongRequest) else (),
    )


def response(error: SuanliError, request_id: str) -> Response:
    headers = {"X-Request-Id": request_id}
    if "retry_after_s" in error.evidence:
        headers["Retry-After"] = str(error.evidence["retry_after_s"])
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode(details(error, request_id)),
        status_code=error.http_status,
        media_type="application/problem+json",
        headers=headers,
    )


def install(app: FastAPI) -> None:
    """Let every failure of a route end as a problem."""
    app.add_exception_handler(SuanliError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    for status, kind in _BY_STATUS.items():
        app.add_exception_handler(status, _answering(kind))
    app.add_exception_handler(Exception, _unexpected)


def request_id_of(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, SuanliError)
    return response(error, request_id_of(request))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = tuple(_mistake(found) for found in error.errors())
    return response(WrongRequest(problems), request_id_of(request))


def _mistake(found: dict[str, Any]) -> Problem:
    """Without what was sent: it may be a secret, or a megabyte."""
    place, *path = (str(part) for part in found["loc"])
    message = str(found["msg"])[:200]
    return Problem(file=place, line=0, column=0, field=".".join(path)[:200], message=message)


def _answering(kind: type[SuanliError]) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, _error: Exception) -> Response:
        return response(kind(), request_id_of(request))

    return answer


def _unexpected(request: Request, error: Exception) -> Response:
    request_id = request_id_of(request)
    log.error("unexpected", request_id=request_id, path=request.url.path, exc_info=error)
    unexpected = SuanliError(
        "Something went wrong inside the controller.",
        remedy=f"Its log has the details under the request id {request_id}; please report them.",
    )
    return response(unexpected, request_id)
