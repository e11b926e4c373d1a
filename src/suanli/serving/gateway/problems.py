"""How the gateway says no: OpenAI's error shape under `/v1/`, RFC 9457 problem details elsewhere."""

import difflib
import math
from collections.abc import Iterable

import msgspec

from suanli.serving.gateway.admission_port import Refusal
from suanli.serving.gateway.heads import whole_answer

OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Problem(msgspec.Struct, frozen=True):
    """A status, a stable code, a sentence in the client's nouns; `param` is the field at fault, `retry_after_s` when it
    is worth asking again, `allow` the methods that there are."""

    status: int
    code: str
    sentence: str
    param: str | None = None
    retry_after_s: float | None = None
    allow: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def problem_of(refusal: Refusal) -> Problem:
    return Problem(
        refusal.status,
        refusal.code,
        refusal.message,
        retry_after_s=refusal.retry_after_s,
        headers=refusal.headers,
    )


class Refused(Exception):
    """Carries a problem out of a parser's callback."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence)
        self.problem = problem


def rendered(problem: Problem, target: bytes, request_id: bytes, *, close: bool, head_only: bool) -> bytes:
    """The answer in the shape that callers of `target` understand."""
    if target.startswith(b"/v1/"):
        content_type, body = b"application/json", msgspec.json.encode({"error": _openai(problem)})
    else:
        content_type, body = b"application/problem+json", msgspec.json.encode(_rfc9457(problem))
    return whole_answer(
        problem.status,
        content_type,
        body,
        request_id,
        close=close,
        head_only=head_only,
        extra=_headers(problem),
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """ "Did you mean" and up to three names, or nothing."""
    close = difflib.get_close_matches(name[:200], list(names), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _openai(problem: Problem) -> dict[str, str | None]:
    kind = OPENAI_TYPES.get(problem.status)
    if kind is None:
        kind = "invalid_request_error" if problem.status < 500 else "server_error"
    return {"message": problem.sentence, "type": kind, "param": problem.param, "code": problem.code}


def _rfc9457(problem: Problem) -> dict[str, str | int]:
    return {
        "type": "about:blank",
        "title": problem.code.replace("_", " "),
        "status": problem.status,
        "detail": problem.sentence,
        "code": problem.code,
    }


def _headers(problem: Problem) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode(), value.encode()) for name, value in problem.headers]
    if problem.retry_after_s is not None and not any(name == b"retry-after" for name, _ in headers):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(problem.retry_after_s))))
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.allow is not None:
        headers.append((b"allow", problem.allow.encode()))
    return headers
