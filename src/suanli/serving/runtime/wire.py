"""Requests in OpenAI's shape, read strictly: what can't be honoured is refused by name, not ignored."""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from suanli.serving.runtime.generation import Generation, Message
from suanli.serving.runtime.refusals import Refusal, bad_field

Body = TypeVar("Body", bound=msgspec.Struct)

MESSAGES_MAX, TEXTS_MAX, STOPS_MAX, TOKENS_MAX = 4096, 2048, 16, 1_000_000
COMPLETION_TOKENS, CHAT_TOKENS = 16, 256
"""How long an answer may be where the request doesn't say: OpenAI's own figure for completions; for chats this where
the model's context is unknown, else what is left of it."""

HARMLESS = {
    "metadata", "parallel_tool_calls", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user",
}  # fmt: skip
"""Say nothing about the answer's content."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logprobs": (False, 0), "top_logprobs": (0,),
    "frequency_penalty": (0,), "presence_penalty": (0,), "logit_bias": ({},), "tools": ([],), "functions": ([],),
    "tool_choice": ("none", "auto"), "response_format": ({"type": "text"},), "modalities": (["text"],),
}  # fmt: skip
"""Fields that aren't supported, with the values under which they change nothing."""

Text = Annotated[str, msgspec.Meta(max_length=4 * 2**20)]
Stop = str | Annotated[list[str], msgspec.Meta(max_length=STOPS_MAX)] | None


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False
    include_obfuscation: bool = False


class _Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """What both kinds of generation may ask for."""

    model: str | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=10)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    stop: Stop = None
    seed: int | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    @property
    def with_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def tokens_max(self) -> int | None:
        return self.max_tokens

    def generation(self, max_tokens: int) -> Generation:
        """`max_tokens` is taken where the request says nothing."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if not all(stops):
            raise bad_field("stop", "a stop text may not be empty; leave stop out")
        return Generation(
            max_tokens=self.tokens_max or max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            stop=tuple(stops),
            seed=None if self.seed is None else self.seed % 2**63,
        )


class Completion(_Sampling, frozen=True, kw_only=True):
    prompt: Text | list[Text]

    def text(self) -> str:
        if isinstance(self.prompt, str):
            return self.prompt
        if len(self.prompt) != 1:
            raise bad_field("prompt", "send one request for each prompt; they are batched all the same")
        return self.prompt[0]


class _Part(msgspec.Struct, frozen=True):
    type: Literal["text"]
    text: Text


class _SaidBy(msgspec.Struct, frozen=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[_Part]


class Chat(_Sampling, frozen=True, kw_only=True):
    messages: Annotated[list[_SaidBy], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)]
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)] | None = None

    def said(self) -> list[Message]:
        return [Message(_role(one), _text(one.content)) for one in self.messages]

    @property
    def tokens_max(self) -> int | None:
        """`max_tokens` is the older name, as with OpenAI."""
        return self.max_completion_tokens or self.max_tokens


def _role(message: _SaidBy) -> str:
    """`developer` is OpenAI's newer name for `system`, which templates of models know."""
    return "system" if message.role == "developer" else message.role


def _text(content: str | list[_Part]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    input: Text | Annotated[list[Text], msgspec.Meta(min_length=1, max_length=TEXTS_MAX)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Score(msgspec.Struct, frozen=True, kw_only=True):
    inputs: Text | Annotated[list[Text], msgspec.Meta(min_length=1, max_length=TEXTS_MAX)]
    model: str | None = None

    def texts(self) -> list[str]:
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


class Predict(msgspec.Struct, frozen=True, kw_only=True):
    inputs: Any
    model: str | None = None


_MISSING = re.compile("missing required field `(.+?)`")


def read(body: bytes, kind: type[Body]) -> Body:
    """The body as `kind`. Raises Refusal (400) with the field at fault and what was expected."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise Refusal(400, "the body must be a JSON object")
    try:
        asked = {name: value for name, value in given.items() if not _says_nothing(name, value, kind)}
        return msgspec.convert(asked, kind)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at ")
        missing = _MISSING.search(sentence)
        param = ".".join(filter(None, (path.strip("`").lstrip("$."), missing and missing[1])))
        raise bad_field(param, f"{param}: {sentence}" if param else sentence) from error


def _says_nothing(name: str, value: Any, kind: type[msgspec.Struct]) -> bool:
    """Whether a field may be left out. Raises Refusal for one that matters and isn't supported."""
    if name in kind.__struct_fields__:
        return False
    if name not in HARMLESS and value is not None and value not in NEUTRAL.get(name, ()):
        known = ", ".join(kind.__struct_fields__)
        raise bad_field(name, f"{name} is not supported here; leave it out. Known are {known}", "unsupported")
    return True
