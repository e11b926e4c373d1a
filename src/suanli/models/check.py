"""What may enter the registry, told by content and not by name: weights that cannot carry code, and small companions.

Loading a pickle runs whatever its author wrote, also in the modes that claim otherwise (CVE-2025-32434), so that none
comes in under any name. Nothing is loaded here either: heads are read, and structures walked.
"""

import codecs
import enum
import posixpath
import re
from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from suanli.domain.errors import UsageError
from suanli.domain.model import Format
from suanli.models import formats, protobuf
from suanli.models.paths import check_path
from suanli.models.pickles import pickle_inside

TEXT_BYTES_MAX = 64 * 2**20
PIECE_BYTES = 2**20

TO_SAFETENSORS = "safetensors.torch.save_model(model, 'model.safetensors')"
TO_ONNX = "`optimum-cli export onnx --model DIR OUT`"
CONVERTERS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), f"Write it with {TO_SAFETENSORS}, or {TO_ONNX}."),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "Write it as ONNX: `skl2onnx.to_onnx(model, sample)`."),
    **dict.fromkeys((".h5", ".hdf5", ".keras", ".pb"), "Write it as ONNX: `python -m tf2onnx.convert`."),
    **dict.fromkeys(
        (".npy", ".npz"), "Write it with safetensors.numpy.save_file(arrays, 'model.safetensors')."
    ),
    **dict.fromkeys((".msgpack",), "Write it with safetensors.flax.save_file(params, 'model.safetensors')."),
}
"""By the suffixes of formats that programs load as a pickle or as code, whatever is in the file."""

OPAQUE_SUFFIX = ".bin"
"""ONNX files keep large tensors in raw files of any name, often this one. Other programs unpickle them: they are never
let in as text."""

CODE_SUFFIX = re.compile(
    r"\.(py|pyi|ipynb|sh|bash|js|mjs|lua|rb|pl|php|jl|r|bat|cmd|ps1|c|cc|cpp|cu|h|rs|go|java)"
)
EXECUTABLES = (
    b"\x7fELF",
    b"MZ",
    b"\xfe\xed\xfa",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"\0asm",
)


class Kind(enum.Enum):
    """What a file is. OPAQUE is only right where an ONNX file says that it keeps tensors there."""

    WEIGHTS = "weights"
    COMPANION = "companion"
    CODE = "code"
    OPAQUE = "opaque"


class NotAdmitted(UsageError):
    """That may not enter the registry."""

    code = "SL-MODEL-CONTENT"
    http_status = 422


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a file. `external` are paths, in the version, of files that its tensors lie in."""

    kind: Kind
    format: Format | None = None
    external: tuple[str, ...] = ()


def identify(path: str, file: BinaryIO, size_bytes: int) -> Content:
    """What one file is. Raises NotAdmitted for a pickle, an executable, or weights that are not what they say."""
    suffix = posixpath.splitext(path)[1].lower()
    pickled = pickle_inside(file)
    if pickled:
        raise _pickle(path, pickled, suffix)
    if suffix in CONVERTERS and suffix != OPAQUE_SUFFIX:
        raise _pickle(
            path, f"files that end in {suffix} are loaded as pickles or code, or carry no checks", suffix
        )
    file.seek(0)
    head = file.read(8)
    if suffix == ".gguf" or head[:4] == b"GGUF":
        return _weights(path, Format.GGUF, formats.gguf_problem(file, size_bytes))
    if suffix == ".safetensors":
        return _weights(path, Format.SAFETENSORS, formats.safetensors_problem(file, size_bytes))
    no_onnx = formats.onnx_problem(file, size_bytes)
    if suffix == ".onnx" or not no_onnx:
        return _onnx(path, file, size_bytes, no_onnx)
    if suffix != OPAQUE_SUFFIX and _is_text(file, size_bytes):
        return _text(path, file, size_bytes, suffix, head)
    return _binary(path, file, size_bytes, head)


def check_version(contents: Mapping[str, Content], *, code: bool) -> Format:
    """The format of the whole. Raises NotAdmitted unless there are weights and all else may stand beside them."""
    named = {path for content in contents.values() for path in content.external}
    missing = sorted(named - contents.keys())
    if missing:
        raise _refused(
            missing[0], "an ONNX file keeps tensors there, and it was not sent along", "Push the folder."
        )
    for path, content in contents.items():
        if content.kind is Kind.OPAQUE and path not in named:
            suffix = posixpath.splitext(path)[1].lower()
            raise _refused(path, "it is neither weights nor text nor a tokenizer", CONVERTERS.get(suffix, ""))
        if content.kind is Kind.CODE and not code:
            raise _refused(
                path,
                "it is a program, and whoever serves the model might run it",
                "Read it, then push with `--code`; or leave it out: `--exclude '*.py'`.",
                code="SL-MODEL-CODE",
            )
    found = {content.format for content in contents.values() if content.kind is Kind.WEIGHTS}
    for candidate in Format:
        if candidate in found:
            return candidate
    raise NotAdmitted(
        "There are no weights among these files.",
        remedy="A version holds at least one .safetensors, .onnx or .gguf file.",
        evidence={"files": sorted(contents)[:20]},
        code="SL-MODEL-NO-WEIGHTS",
    )


def _weights(path: str, kind: Format, problem: str) -> Content:
    if problem:
        raise _refused(path, problem, f"Write it anew: {TO_SAFETENSORS}, or {TO_ONNX}.")
    return Content(kind=Kind.WEIGHTS, format=kind)


def _onnx(path: str, file: BinaryIO, size_bytes: int, problem: str) -> Content:
    """External data lies beside the file or below; ONNX itself lets no other path be."""
    weights = _weights(path, Format.ONNX, problem)
    try:
        locations = [check_path(location) for location in formats.onnx_external(file, size_bytes)]
    except protobuf.Malformed as error:
        raise _refused(path, f"it is damaged ({error})", f"Write it anew: {TO_ONNX}.") from error
    except UsageError as error:
        raise _refused(path, f"it keeps tensors where none may be. {error.sentence}", error.remedy) from error
    folder = posixpath.dirname(path)
    external = sorted(posixpath.join(folder, location) for location in locations)
    return msgspec.structs.replace(weights, external=tuple(external))


def _text(path: str, file: BinaryIO, size_bytes: int, suffix: str, head: bytes) -> Content:
    if suffix == ".json":
        file.seek(0)
        try:
            msgspec.json.decode(file.read(size_bytes), type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _refused(path, f"it is no JSON ({error})", "Correct it, or leave it out.") from error
    is_code = CODE_SUFFIX.fullmatch(suffix) is not None or head.startswith(b"#!")
    return Content(kind=Kind.CODE if is_code else Kind.COMPANION)


def _binary(path: str, file: BinaryIO, size_bytes: int, head: bytes) -> Content:
    if head.startswith(EXECUTABLES):
        raise _refused(path, "it is an executable", "Leave it out: a model is weights.", code="SL-MODEL-CODE")
    if not formats.safetensors_problem(file, size_bytes):
        return Content(kind=Kind.WEIGHTS, format=Format.SAFETENSORS)
    if _is_sentencepiece(file, size_bytes):
        return Content(kind=Kind.COMPANION)
    return Content(kind=Kind.OPAQUE)


def _is_text(file: BinaryIO, size_bytes: int) -> bool:
    """UTF-8 without NUL. O(size), and no more than a piece of it in memory."""
    if size_bytes > TEXT_BYTES_MAX:
        return False
    decode = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while piece := file.read(PIECE_BYTES):
            if b"\0" in piece:
                return False
            decode.decode(piece)
        decode.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_sentencepiece(file: BinaryIO, size_bytes: int) -> bool:
    """sentencepiece's ModelProto: pieces (1), each with its text (1), then specifications (2 to 5), all messages."""
    if size_bytes > TEXT_BYTES_MAX:
        return False
    pieces = 0
    try:
        walk = protobuf.Walk(file)
        for field in walk.fields(0, size_bytes):
            if field.type != protobuf.BYTES or field.number > 5:
                return False
            if field.number == 1:
                pieces += 1
                first = next(walk.fields(field.start, field.end), None)
                if first is None or (first.number, first.type) != (1, protobuf.BYTES):
                    return False
    except protobuf.Malformed:
        return False
    return pieces > 0


def _pickle(path: str, why: str, suffix: str) -> NotAdmitted:
    instead = CONVERTERS.get(suffix, CONVERTERS[".pt"])
    remedy = f"{instead} Or leave it out, if serving does not need it: `--exclude '*{suffix or path[:200]}'`."
    return _refused(path, why, remedy, code="SL-MODEL-PICKLE")


def _refused(path: str, why: str, remedy: str, code: str = "") -> NotAdmitted:
    return NotAdmitted(
        f"{path[:200]} may not enter the registry: {why}.",
        remedy=remedy or "Leave it out with `--exclude PATTERN`, if serving does not need it.",
        evidence={"file": path[:200]},
        code=code,
    )
