"""Whether a model fits into the memory that the plan gives it, found from its files before anything is loaded."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from suanli.domain.errors import UsageError
from suanli.models.formats import onnx_external
from suanli.models.protobuf import Malformed
from suanli.reports.quantities import memory as text

HEADER_BYTES_MAX = 100 * 2**20
DTYPE_BYTES = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
}
"""By the names of safetensors; what isn't listed takes one byte."""
FLOATS = {"F16", "BF16", "F32", "F64"}
RUNTIME_BYTES = {"transformers": 450 * 2**20, "onnx": 150 * 2**20, "python": 80 * 2**20}
"""What a process takes before it has a model, measured: mostly code of the libraries."""
CUDA_CONTEXT_BYTES = 500 * 2**20
MARGIN_PERCENT = 15
"""Of weights and cache: activations, fragments, and the copy that a growing cache makes of one layer."""


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """Keys and values of all sequences of a batch: `batch` × `context` × `token_bytes`."""

    batch: int
    context: int
    token_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.batch * self.context * self.token_bytes


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of the comparison. `batch_max` is the largest batch that would fit at this context, `context_max` the
    longest context at this batch; 0 none."""

    need_bytes: int
    memory_max_bytes: int
    batch_max: int
    context_max: int
    sum: str

    @property
    def holds(self) -> bool:
        return self.need_bytes <= self.memory_max_bytes

    @property
    def sentence(self) -> str:
        """One line for whoever declared the service: the arithmetic, and what would help."""
        verb = "fits" if self.holds else "does not fit"
        said = f"the model {verb}: {self.sum} = {text(self.need_bytes)} of {text(self.memory_max_bytes)}"
        if self.holds:
            return said
        whole = math.ceil(self.need_bytes / 2**28) / 4  # in quarters of a GiB
        remedy = f"give it memory: {whole:g}GiB"
        if self.batch_max:
            remedy += f", or batches of at most {self.batch_max} (--batch-max {self.batch_max})"
        if self.context_max:
            remedy += f", or at most {self.context_max} tokens each (--context-max {self.context_max})"
        return f"{said}; {remedy}"


def fits(weights_bytes: int, cache: Cache | None, runtime_bytes: int, memory_max_bytes: int) -> Fit:
    """Compare what the model needs with what there is. Pure."""
    cache_bytes = cache.size_bytes if cache else 0
    need = _need_bytes(weights_bytes, cache_bytes, runtime_bytes)
    terms = [f"weights {text(weights_bytes)}"]
    batch = context = 0
    if cache and cache_bytes:
        terms.append(
            f"cache {text(cache_bytes)} ({cache.batch} sequences × {cache.context} tokens"
            f" × {text(cache.token_bytes)})"
        )
        left_bytes = 100 * (memory_max_bytes - runtime_bytes) // (100 + MARGIN_PERCENT) - weights_bytes
        batch = max(0, left_bytes // (cache.context * cache.token_bytes))
        context = max(0, left_bytes // (cache.batch * cache.token_bytes))
    terms += [f"{MARGIN_PERCENT}% margin {text(MARGIN_PERCENT * (weights_bytes + cache_bytes) / 100)}"]
    terms += [f"libraries {text(runtime_bytes)}"]
    return Fit(
        need_bytes=need,
        memory_max_bytes=memory_max_bytes,
        batch_max=batch,
        context_max=context,
        sum=" + ".join(terms),
    )


def _need_bytes(weights_bytes: int, cache_bytes: int, runtime_bytes: int) -> int:
    return -(-(100 + MARGIN_PERCENT) * (weights_bytes + cache_bytes) // 100) + runtime_bytes


def weights_bytes(folder: Path, runtime: str, *, floats_as: int | None = None) -> int:
    """What the weights that a runtime loads from a folder take in memory, by the headers of safetensors files and the
    sizes of others. `floats_as` is the width in bytes that floating-point tensors are converted to, None: they stay.

    Of several formats only one is loaded: a runtime's own, and by user code as a version's format is chosen. Raises
    UsageError for a header that makes no sense.
    """
    tensors = [
        path
        for path in sorted(folder.glob("*.safetensors"))
        if path.name.startswith(("model", "pytorch_model"))
    ]
    if runtime == "transformers" or (runtime == "python" and tensors):
        return sum(_tensors_bytes(path, floats_as) for path in tensors)
    graph = onnx_file(folder)
    if graph is not None:
        return _graph_bytes(graph)
    return sum(path.stat().st_size for path in folder.glob("*.gguf"))


def onnx_file(folder: Path) -> Path | None:
    """The one that is loaded, from where exporters put it; None where there is none."""
    names = ("model.onnx", "onnx/model.onnx", "model_quantized.onnx")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _graph_bytes(path: Path) -> int:
    """With the tensors that it keeps in files beside it."""
    size_bytes = path.stat().st_size
    try:
        with path.open("rb") as file:
            beside = {path.parent / location for location in onnx_external(file, size_bytes)}
    except Malformed:
        beside = set[Path]()  # whoever loads it will say what is wrong with it
    return size_bytes + sum(each.stat().st_size for each in beside if each.is_file())


def _tensors_bytes(path: Path, floats_as: int | None) -> int:
    total = 0
    for name, tensor in _header(path).items():
        if name != "__metadata__":
            kind = tensor["dtype"]
            width = floats_as if floats_as and kind in FLOATS else DTYPE_BYTES.get(kind, 1)
            total += math.prod(tensor["shape"]) * width
    return total


def _header(path: Path) -> dict[str, Any]:
    """A safetensors file begins with the length of its header in 8 bytes, little-endian, and the header as JSON."""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER_BYTES_MAX + 1
        if length > min(HEADER_BYTES_MAX, path.stat().st_size):
            raise UsageError(f"{path.name} is not a safetensors file", remedy="push the model anew")
        try:
            return json.loads(file.read(length))
        except ValueError as error:
            raise UsageError(f"{path.name} is not a safetensors file: {error}") from error


def cache_token_bytes(config: Mapping[str, Any], width: int) -> int:
    """Bytes of keys and values for one token of one sequence, from a model's config.json and the bytes of a number.

    2 × layers × key-value heads × head width; 0 where the config doesn't say.
    """
    layers = config.get("num_hidden_layers") or config.get("n_layer") or 0
    heads = config.get("num_attention_heads") or config.get("n_head") or 0
    hidden = config.get("hidden_size") or config.get("n_embd") or 0
    if not layers or not heads:
        return 0
    key_value_heads = config.get("num_key_value_heads") or heads
    head_width = config.get("head_dim") or hidden // heads
    return 2 * layers * key_value_heads * head_width * width


def context_of(config: Mapping[str, Any]) -> int:
    """The most tokens that a model sees at once, from its config.json; 0 where that doesn't say."""
    return config.get("max_position_embeddings") or config.get("n_positions") or 0
