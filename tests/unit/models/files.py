"""Small files of every kind that may enter the registry, and of those that may not."""

import hashlib
import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from safetensors.numpy import save

from suanli.domain.model import ModelFile, ModelVersion
from suanli.models.registry import Registry
from suanli.models.uploads import Manifest

JSON = b'{"architectures": ["BertForSequenceClassification"], "model_type": "bert"}'


class Boom:
    """Unpickling it would call something."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never be printed",)


def safetensors(seed: int = 0, numbers: int = 16) -> bytes:
    return save({"a": np.full((numbers,), seed, np.float32), "b": np.ones((2, 2), np.int8)}, {"format": "pt"})


def gguf(version: int = 3, tensors: int = 1, entries: int = 1) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + b"\0" * 64


def pickled(protocol: int) -> bytes:
    return pickle.dumps({"w": Boom()}, protocol)


def zipped(name: str = "model/data.pkl", body: bytes = b"\x80\x02}q\x00.") -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, body)
    return archive.getvalue()


def npy(array: "np.ndarray") -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A protobuf message of numbers and byte strings."""
    return b"".join(
        _varint(number << 3) + _varint(value)
        if isinstance(value, int)
        else _varint(number << 3 | 2) + _varint(len(value)) + value
        for number, value in fields
    )


def onnx(*locations: str) -> bytes:
    """A model with one tensor in each of these files, the last one inside a node's attribute."""
    tensors = [
        message((1, 1), (13, message((1, b"location"), (2, at.encode()))), (14, 1)) for at in locations
    ]
    in_graph = [(5, tensor) for tensor in tensors[:-1]]
    in_node = [(1, message((4, b"Constant"), (5, message((1, b"value"), (5, t))))) for t in tensors[-1:]]
    return message((1, 8), (2, b"a test"), (7, message((2, b"graph"), *in_graph, *in_node)))


def sentencepiece() -> bytes:
    piece = message((1, "▁the".encode())) + b"\x15\0\0\0\0"
    return message((1, piece), (1, piece), (2, message((3, 1))))


def file_of(path: str, body: bytes) -> ModelFile:
    return ModelFile(path=path, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())


def manifest(files: Mapping[str, bytes], name: str = "chat", **more: object) -> Manifest:
    promised = tuple(file_of(path, body) for path, body in files.items())
    return msgspec.convert({"name": name, "files": promised, "actor": "ada", **more}, Manifest)


def push(registry: Registry, files: Mapping[str, bytes], name: str = "chat", **more: object) -> ModelVersion:
    """The version, by the same steps that a client takes."""
    asked = manifest(files, name, **more)
    begun = registry.begin(asked)
    if begun.version is not None:
        return begun.version
    bodies = {hashlib.sha256(body).hexdigest(): body for body in files.values()}
    for each in begun.wanted:
        rest = bodies[each.sha256][each.offset :]
        registry.write(name, begun.upload, each.sha256, each.offset, rest, actor=asked.actor)
    return registry.commit(name, begun.upload, actor=asked.actor)


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
