"""What the gateway reads of OpenAI's API: the few fields of a request that decide where it goes and what it may use."""

import msgspec

from suanli.serving.gateway.routes import Route

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
OPERATIONS = frozenset((CHAT, COMPLETIONS, EMBEDDINGS))

TOKENS_OUT_DEFAULT = 1024
"""Reserved for a completion that names no maximum."""
BYTES_PER_TOKEN = 4
TOKENS_MAX = 2**31
COPIES_MAX = 2**16
PREFIX_BYTES = 256
"""So much of a prompt decides which replica has it in its cache."""


class Asked(msgspec.Struct, frozen=True):
    """The decoded part of a request's body; all else is checked to be JSON and skipped."""

    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    user: str | None = None
    prompt: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct, frozen=True):
    model: str | None = None


class Malformed(Exception):
    """The body is no such request; `param` is the field that is wrong, None where it is the whole."""

    def __init__(self, sentence: str, param: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.param = param


_decode = msgspec.json.Decoder(Asked).decode
_decode_model = msgspec.json.Decoder(_Named).decode
_prompts = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read(body: bytes) -> Asked:
    """Raises `Malformed`. O(bytes)."""
    try:
        asked = _decode(body)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$.")
        raise Malformed(f"{sentence}.", path.rstrip("`").partition(".")[0] or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not valid JSON: {error}.") from None
    for name in ("max_tokens", "max_completion_tokens", "n", "best_of"):
        value = getattr(asked, name)
        if value is not None and not 0 <= value < TOKENS_MAX:
            raise Malformed(f"{name} must be between 0 and {TOKENS_MAX - 1}, not {value}.", name)
    return asked


def read_model(body: bytes) -> str | None:
    """Only the model of any JSON object. Raises `Malformed`."""
    try:
        return _decode_model(body).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("The body is no JSON object with a text as its model.", "model") from None


def tokens_max(asked: Asked, operation: str, body_bytes: int) -> int:
    """The most that the request may use: its prompt by its length, and what it lets be generated for each answer."""
    prompt = estimated_tokens(body_bytes)
    if operation == EMBEDDINGS:
        return prompt
    told = [most for most in (asked.max_completion_tokens, asked.max_tokens) if most is not None]
    each = max(told, default=TOKENS_OUT_DEFAULT)  # which of the two a runtime obeys is its own affair
    answers = max(1, asked.n or 1, asked.best_of or 1) * _prompt_count(asked.prompt)
    if answers > COPIES_MAX:
        raise Malformed(f"{answers} answers to one request are too many: at most {COPIES_MAX}.", "n")
    return prompt + each * answers


def estimated_tokens(body_bytes: int) -> int:
    return max(1, body_bytes // BYTES_PER_TOKEN)


def _prompt_count(prompt: msgspec.Raw) -> int:
    """A prompt is a text, texts, tokens, or lists of tokens."""
    text = bytes(prompt)
    if not text.startswith(b"["):
        return 1
    prompts = _prompts(text)
    return len(prompts) if prompts and bytes(prompts[0])[:1] in (b'"', b"[") else 1


def prefix(asked: Asked) -> bytes:
    """The beginning of what the model has to read."""
    for field in (asked.messages, asked.prompt, asked.input):
        if text := bytes(field)[:PREFIX_BYTES]:
            return text
    return b""


class _Model(msgspec.Struct):
    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "suanli"


def model_told(name: str) -> bytes:
    """The answer of `/v1/models/NAME`."""
    return msgspec.json.encode(_Model(name))


def models_listed(routes: list[Route]) -> bytes:
    """The answer of `/v1/models`."""
    names = sorted({name for route in routes for name in route.models})
    return msgspec.json.encode({"object": "list", "data": [_Model(name) for name in names]})
