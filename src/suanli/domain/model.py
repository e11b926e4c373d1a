"""Models: named, in numbered versions, each a set of files known by their SHA-256; and how one refers to them.

A version's files never change. What people say of it (tags, evaluations) and which alias names it may.
"""

import enum
import hashlib
import re
from collections.abc import Iterable

import msgspec

from suanli.domain.errors import UsageError

TASKS = (
    "text-generation",
    "embeddings",
    "text-classification",
    "image-classification",
    "speech-recognition",
)
"""What the shipped runtimes know how to serve; other tasks may be named too."""

_TASK_BY_ENDING = {
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForSequenceClassification": "text-classification",
    "ForImageClassification": "image-classification",
    "ForSpeechSeq2Seq": "speech-recognition",
    "WhisperForConditionalGeneration": "speech-recognition",
    "ForCTC": "speech-recognition",
}
"""By the ending of transformers' class names."""

EVALUATIONS_KEPT = 200
"""Of one version; the oldest go first."""

TAGS_MAX = 64

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,94}(?<!\.)"
_ALIAS = r"[A-Za-z](?:[A-Za-z0-9_-]|\.(?!\.)){0,62}(?<!\.)"
_REFERENCE = re.compile(
    rf"(?:models:/)?(?P<name>{_NAME})(?:/(?P<number>[1-9][0-9]{{0,8}})|@(?P<alias>{_ALIAS}))?"
)
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,94}[A-Za-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Format(enum.Enum):
    """How weights are written; none of these can carry code that loading would run."""

    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    GGUF = "gguf"


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a version, at a relative path. `code`: its pusher said that it may be run."""

    path: str
    size_bytes: int
    sha256: str
    code: bool = False


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version comes from: the job that made it, the version it was made of (`gpt/3`) and how, its data."""

    job: str = ""
    parent: str = ""
    how: str = ""
    data: str = ""
    git_commit: str = ""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Figures that a version reached on a suite or data set.

    Where it was measured by Suanli: of how many `samples` of the data with that SHA-256, with 95 % `intervals` drawn by
    the `seed`; `against` is the version that it was held against, `how` a split or the service that was asked.
    """

    suite: str
    metrics: dict[str, float]
    at_s: float
    actor: str = ""
    data_sha256: str = ""
    samples: int = 0
    seed: int = 0
    intervals: dict[str, tuple[float, float]] = msgspec.field(default_factory=dict[str, tuple[float, float]])
    against: str = ""
    how: str = ""


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model. `number` counts from 1 and is never given twice; 0 has none yet."""

    name: str
    number: int = 0
    digest: str
    files: tuple[ModelFile, ...]
    format: Format
    task: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    lineage: Lineage = Lineage()
    evaluations: tuple[Evaluation, ...] = ()
    size_bytes: int = 0
    created_s: float = 0.0
    actor: str = ""

    @property
    def reference(self) -> str:
        return f"{self.name}/{self.number}"


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A version as people name it: by number, by alias, or, with neither, the newest."""

    name: str
    number: int | None = None
    alias: str = ""

    def __str__(self) -> str:
        if self.alias:
            return f"{self.name}@{self.alias}"
        return self.name if self.number is None else f"{self.name}/{self.number}"


def parse_reference(text: str) -> Reference:
    """`chat`, `chat/3` or `chat@prod`, also as `models:/chat/3`. Raises UsageError."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{text[:200]!r} names no model version.",
            remedy="Write `chat` for the newest, `chat/3` for a version, `chat@prod` for what an alias names.",
            code="SL-MODEL-REFERENCE",
        )
    number = found["number"]
    return Reference(
        name=found["name"], number=None if number is None else int(number), alias=found["alias"] or ""
    )


def task_of_architecture(architecture: str) -> str:
    """What a model of that class, of transformers, is for; empty where its name does not tell."""
    return next((task for ending, task in _TASK_BY_ENDING.items() if architecture.endswith(ending)), "")


def check_name(name: str) -> str:
    """The name itself. Raises UsageError for one that no model may have."""
    if re.fullmatch(_NAME, name) is None:
        raise UsageError(
            f"{name[:200]!r} is no name for a model.",
            remedy="Use up to 95 letters, digits, `-`, `_` and single dots; begin with a letter or digit.",
            code="SL-MODEL-NAME",
        )
    return name


def check_alias(alias: str) -> str:
    """The alias itself. Raises UsageError for one that could be taken for something else, such as a number."""
    if re.fullmatch(_ALIAS, alias) is None:
        raise UsageError(
            f"{alias[:200]!r} is no alias.",
            remedy="Use up to 63 letters, digits, `-`, `_` and single dots; begin with a letter, as in `prod`.",
            code="SL-MODEL-ALIAS",
        )
    return alias


def check_sha256(text: str) -> str:
    """The digest itself. Raises UsageError for what is not 64 lower-case hexadecimal digits."""
    if _SHA256.fullmatch(text) is None:
        raise UsageError(
            f"{text[:80]!r} is no SHA-256.",
            remedy="Send 64 lower-case hexadecimal digits.",
            code="SL-MODEL-DIGEST",
        )
    return text


def check_task(task: str) -> str:
    """The task itself, empty for none. Raises UsageError."""
    if task and _WORD.fullmatch(task) is None:
        raise UsageError(
            f"{task[:200]!r} is no task.", remedy=f"Such as {', '.join(TASKS)}.", code="SL-MODEL-TASK"
        )
    return task


def check_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags themselves. Raises UsageError where there are too many, or one is no name or too long."""
    for key, value in tags.items():
        if _WORD.fullmatch(key) is None or len(value) > 1000 or not value.isprintable():
            raise UsageError(
                f"The tag {key[:100]!r} cannot be kept.",
                remedy="A tag is a short name of letters, digits, `.`, `_`, `-`, `/`, with one line of text.",
                code="SL-MODEL-TAG",
            )
    if len(tags) > TAGS_MAX:
        raise UsageError(
            "There are too many tags.",
            evidence={"tags": len(tags), "tags_max": TAGS_MAX},
            code="SL-MODEL-TAG",
        )
    return tags


def digest_of(files: Iterable[ModelFile]) -> str:
    """SHA-256 over the canonical manifest: `SHA256 SIZE PATH` a line, by path. O(files log files)."""
    lines = (f"{file.sha256} {file.size_bytes} {file.path}\n" for file in sorted(files, key=lambda f: f.path))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
