"""What is answered instead of a result: OpenAI's error object, with the field at fault and what to do."""

import msgspec

from suanli.serving.runtime.batching import Busy


class Refusal(Exception):
    """A request that is not worked on. `param` names the field of its body, "" none."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str = "",
        code: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after_s = retry_after_s

    def body(self) -> bytes:
        return msgspec.json.encode(self.shown())

    def shown(self) -> dict[str, object]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        fields = {
            "message": self.message,
            "type": kind,
            "param": self.param or None,
            "code": self.code or None,
        }
        return {"error": fields}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Besides the content's type and length."""
        if self.retry_after_s is None:
            return []
        return [(b"retry-after", str(max(1, round(self.retry_after_s))).encode())]


def bad_field(param: str, message: str, code: str = "") -> Refusal:
    return Refusal(400, message, param=param, code=code)


def not_offered(what: str, offered: str) -> Refusal:
    return Refusal(404, f"this service does not offer {what}; it offers {offered}", code="not_offered")


def busy(error: Busy) -> Refusal:
    sentence = f"{error}; ask again after the time in Retry-After"
    return Refusal(503, sentence, code="queue_full", retry_after_s=error.retry_after_s)


def too_long(tokens: int, max_tokens: int, context: int) -> Refusal:
    """The prompt and what it asks for are more than the model sees at once: the arithmetic."""
    most = context - max_tokens
    if most < 1:
        remedy = f"ask for at most {context - tokens} tokens" if tokens < context else "shorten the prompt"
    else:
        remedy = f"shorten the prompt to {most} tokens"
        if tokens < context:
            remedy += f", or ask for at most {context - tokens}"
    sentence = (
        f"the prompt has {tokens} tokens and max_tokens asks for {max_tokens}, together {tokens + max_tokens};"
        f" the model sees {context} at once: {remedy}"
    )
    return bad_field("max_tokens" if tokens < context else "prompt", sentence, "context_length_exceeded")
