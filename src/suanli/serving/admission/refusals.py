"""Why a request may not enter, in the words, codes and headers that clients of OpenAI's API know."""

import math
from datetime import UTC, datetime

from suanli.serving.admission.messages import Answer, Lane
from suanli.serving.admission.usage import NANO
from suanli.serving.gateway.admission_port import Refusal
from suanli.serving.gateway.routes import Key

NO_KEY = Refusal(
    status=401,
    code="missing_api_key",
    message="No API key was sent. Send one as the header `Authorization: Bearer sk-suanli-...`.",
)
WRONG_KEY = Refusal(
    status=401, code="invalid_api_key", message="The API key is not known here; it may have been revoked."
)
LEDGER_AWAY = Refusal(
    status=503,
    code="limits_unavailable",
    message="What this key may still use cannot be told at the moment. Try again.",
    retry_after_s=1.0,
)
TOO_MANY_WAIT = Refusal(
    status=503,
    code="overloaded",
    message="Too many requests wait to be admitted. Try again.",
    retry_after_s=1.0,
)
_NEVER = (("x-should-retry", "false"),)
_PERIODS = {3600.0: "hour", 86400.0: "day", 604800.0: "week", 30 * 86400.0: "30 days"}


def expired(key: Key) -> Refusal:
    return Refusal(
        status=401,
        code="expired_api_key",
        message=f"The API key {key.name!r} expired {_date(key.expires_s)}.",
    )


def not_for_service(asked_for: str) -> Refusal:
    return Refusal(
        status=404, code="model_not_found", message=f"There is no model {asked_for!r}, or not for this key."
    )


def limited(
    key: Key, answer: Answer, limit: int, left: int, need: int, retry_s: float, unix_s: float
) -> Refusal:
    """What the ledger refused, though it takes only `left` of that limit; worth asking again `retry_s` from now."""
    if answer.lane is Lane.USD:
        return _over_budget(key, answer, left / NANO, need, retry_s, unix_s)
    if answer.lane is Lane.REQUESTS:
        rule, value, kind = "requests per second", key.requests_per_s, "requests"
    else:
        rule, value, kind = "tokens per minute", key.tokens_per_min, "tokens"
    said = f"The key {key.name!r} may have {value:g} {rule}"
    if math.isinf(retry_s):
        headers = (*_headers(kind, limit, left, None), *_NEVER)
        message = f"{said}; this request alone may need {need}. Ask for fewer with `max_tokens`."
        return Refusal(status=429, code="request_too_large", message=message, headers=headers)
    message = f"{said}; {left} are left, this request needs {need}. Try again in {_span(retry_s)}."
    return Refusal(
        status=429,
        code="rate_limit_exceeded",
        message=message,
        retry_after_s=retry_s,
        headers=(*_headers(kind, limit, left, retry_s), _retry_after(retry_s)),
    )


def _over_budget(key: Key, answer: Answer, left: float, need: int, retry_s: float, unix_s: float) -> Refusal:
    every = _PERIODS.get(key.budget_period_s, _span(key.budget_period_s))
    said = f"The key {key.name!r} may spend ${key.budget_usd:g} every {every}"
    if math.isinf(retry_s):
        message = f"{said}; this request alone may cost ${need / NANO:.6f}. Ask for fewer tokens."
        return Refusal(status=429, code="request_too_large", message=message, headers=_NEVER)
    headers = (
        ("x-ratelimit-limit-budget-usd", f"{key.budget_usd:g}"),
        ("x-ratelimit-remaining-budget-usd", f"{left:.6f}"),
        ("x-ratelimit-reset-budget", _span(retry_s)),
        _retry_after(retry_s),
    )
    needs = f"${left:.6f} are left, this request may cost ${need / NANO:.6f}"
    if answer.is_spent:
        message = f"{said}; {needs}. The next period begins {_date(unix_s + retry_s)}."
        code = "budget_exhausted"
    else:
        message = (
            f"{said}; the rest is reserved for requests that run now: {needs}. Try again in {_span(retry_s)}."
        )
        code = "budget_reserved"
    return Refusal(status=429, code=code, message=message, retry_after_s=retry_s, headers=headers)


def _headers(kind: str, limit: int, remaining: int, reset_s: float | None) -> tuple[tuple[str, str], ...]:
    told = (
        (f"x-ratelimit-limit-{kind}", str(limit)),
        (f"x-ratelimit-remaining-{kind}", str(remaining)),
    )
    return told if reset_s is None else (*told, (f"x-ratelimit-reset-{kind}", _span(reset_s)))


def _retry_after(retry_s: float) -> tuple[str, str]:
    """OpenAI's clients look for it first: `retry-after` knows whole seconds only."""
    return "retry-after-ms", str(math.ceil(retry_s * 1000))


def _span(seconds: float) -> str:
    """`340ms`, `1.50s`, `6m0s`, as OpenAI's headers have it."""
    if seconds < 1.0:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60.0:
        return f"{math.ceil(seconds * 100) / 100:g}s"
    minutes, rest_s = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{rest_s}s"


def _date(unix_s: float | None) -> str:
    return datetime.fromtimestamp(round(unix_s or 0.0), UTC).isoformat().replace("+00:00", "Z")
