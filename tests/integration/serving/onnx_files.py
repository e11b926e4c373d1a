"""ONNX files for tests: real models by torch's exporter, and a small int8 graph written byte by byte."""

import struct
import warnings
from pathlib import Path
from typing import Any


def export(model: Any, path: Path, output: str) -> None:
    """An encoder's `output` from token ids, for any batch and length."""
    import torch
    from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return getattr(self.model(input_ids=input_ids, attention_mask=attention_mask), output)

    # It would open the finished file with the package onnx, to add functions of onnxscript; there are none.
    onnx_proto_utils._add_onnxscript_fn = lambda model_bytes, opsets: model_bytes
    names = ["input_ids", "attention_mask"]
    example = torch.ones(2, 8, dtype=torch.long)
    axes = {name: {0: "batch", 1: "time"} for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of this older exporter, which does without the packages onnx and onnxscript
        torch.onnx.export(
            Named().eval(), (example, example), path, dynamo=False, input_names=names, output_names=[output],
            dynamic_axes={**axes, output: {0: "batch"} | ({1: "time"} if output == "last_hidden_state" else {})},
        )  # fmt: skip


def int8_product(weights: list[list[int]]) -> bytes:
    """`y = MatMulInteger(x, weights)`: x is uint8 [n, rows], weights int8, y int32."""
    rows, columns = len(weights), len(weights[0])
    raw = struct.pack(f"{rows * columns}b", *(number for row in weights for number in row))
    uint8, int8, int32 = 2, 3, 6
    constant = _number(1, rows) + _number(1, columns) + _number(2, int8) + _bytes(8, b"w") + _bytes(9, raw)
    node = _bytes(1, b"x") + _bytes(1, b"w") + _bytes(2, b"y") + _bytes(4, b"MatMulInteger")
    graph = _bytes(1, node) + _bytes(2, b"product") + _bytes(5, constant)
    graph += _bytes(11, _tensor(b"x", uint8, rows)) + _bytes(12, _tensor(b"y", int32, columns))
    return _number(1, 8) + _bytes(8, _number(2, 13)) + _bytes(7, graph)


def _tensor(name: bytes, kind: int, width: int) -> bytes:
    shape = _bytes(1, _bytes(2, b"n")) + _bytes(1, _number(1, width))
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))


def _varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
