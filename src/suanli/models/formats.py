"""The three formats of weights, read as far as it takes to be sure: safetensors, ONNX, GGUF.

Each function reads a bounded head, or walks without loading, and returns why the file is not of its format, or "".
"""

import math
import struct
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from suanli.models import protobuf
from suanli.models.protobuf import Malformed, Walk

SAFETENSORS_HEADER_BYTES_MAX = 32 * 2**20
"""The format allows 100 MB; the largest published models need less than one. More would only cost us memory."""

SAFETENSORS_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
}
RANK_MAX = 64
GGUF_VERSIONS = (2, 3)
GGUF_COUNT_MAX = 2**20
ONNX_DEPTH_MAX = 32
ONNX_IR_VERSION_MAX = 100
LOCATION_BYTES_MAX = 1024


class _Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_HEADER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TENSOR = msgspec.json.Decoder(_Tensor)
_METADATA = msgspec.json.Decoder(dict[str, str])


def safetensors_problem(file: BinaryIO, size_bytes: int) -> str:
    """Header within bounds, and tensors that fill the rest without gap or overlap, as the format asks. O(header)."""
    file.seek(0)
    head = file.read(8)
    if len(head) < 8:
        return "it is shorter than a header"
    header_bytes = int.from_bytes(head, "little")
    if header_bytes > min(SAFETENSORS_HEADER_BYTES_MAX, size_bytes - 8):
        return f"its header would be {header_bytes} bytes long"
    try:
        tensors = _tensors(file.read(header_bytes))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"its header is not what the format asks for ({error})"
    at = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.data_offsets):
        start, end = tensor.data_offsets
        bits = SAFETENSORS_BITS.get(tensor.dtype)
        if bits is None or len(tensor.shape) > RANK_MAX or any(not 0 <= n < 2**63 for n in tensor.shape):
            return f"it holds a tensor of the unknown type {tensor.dtype[:20]!r}, or of impossible extents"
        if start != at or end < start or (end - start) * 8 != math.prod(tensor.shape) * bits:
            return "its tensors overlap, leave gaps, or are not as long as they say"
        at = end
    return "" if at == size_bytes - 8 - header_bytes else "its tensors do not end where the file does"


def _tensors(header: bytes) -> list[_Tensor]:
    named = _HEADER.decode(header)
    metadata = named.pop("__metadata__", None)
    if metadata is not None:
        _METADATA.decode(metadata)
    return [_TENSOR.decode(raw) for raw in named.values()]


def gguf_problem(file: BinaryIO, size_bytes: int) -> str:
    file.seek(0)
    head = file.read(24)
    if len(head) < 24 or head[:4] != b"GGUF":
        return "it does not begin as GGUF does"
    version, tensors, entries = struct.unpack("<IQQ", head[4:])
    if version not in GGUF_VERSIONS:
        return f"it is of GGUF version {version}, and those we know are {GGUF_VERSIONS}"
    if max(tensors, entries) > GGUF_COUNT_MAX or tensors + entries > size_bytes:
        return "it says to hold more than fits"
    return ""


def onnx_problem(file: BinaryIO, size_bytes: int) -> str:
    """A ModelProto has a version of its representation (field 1) and a graph (field 7)."""
    version, graphs = 0, 0
    try:
        for field in Walk(file).fields(0, size_bytes):
            if field.number == 1 and field.type == protobuf.VARINT:
                version = field.value
            graphs += field.number == 7 and field.type == protobuf.BYTES
    except Malformed as error:
        return f"it is no ONNX ({error})"
    if not 0 < version <= ONNX_IR_VERSION_MAX or graphs != 1:
        return "it is no ONNX: there is not one graph, or no version"
    return ""


# Which fields of which message lead to a tensor (onnx.proto): by message, {field number: message}.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}


def onnx_external(file: BinaryIO, size_bytes: int) -> set[str]:
    """Paths, as written, of the files in which an ONNX file keeps tensors. O(nodes + tensors). Raises Malformed."""
    return set(_locations(Walk(file), "model", 0, size_bytes, 0))


def _locations(walk: Walk, message: str, start: int, end: int, depth: int) -> Iterator[str]:
    if depth > ONNX_DEPTH_MAX:
        raise Malformed("graphs inside graphs without end")
    key = value = b""
    for field in walk.fields(start, end):
        if field.type != protobuf.BYTES:
            continue
        if message == "entry":
            key = walk.read(field, LOCATION_BYTES_MAX) if field.number == 1 else key
            value = walk.read(field, LOCATION_BYTES_MAX) if field.number == 2 else value
        elif inner := _INSIDE[message].get(field.number):
            yield from _locations(walk, inner, field.start, field.end, depth + 1)
    if key == b"location":
        yield value.decode("utf-8", "replace")
