"""What may enter the registry is told by content, and what carries code is told why and what to use instead."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.models.files import (
    JSON,
    gguf,
    message,
    npy,
    onnx,
    pickled,
    safetensors,
    sentencepiece,
    zipped,
)

from suanli.domain.errors import UsageError
from suanli.domain.model import Format
from suanli.models import protobuf
from suanli.models.check import Content, Kind, NotAdmitted, check_version, identify

REAL_ONNX = sorted((Path(onnxruntime.__file__).parent / "datasets").glob("*.onnx"))


def what(path: str, body: bytes) -> Content:
    return identify(path, io.BytesIO(body), len(body))


def whole(files: dict[str, bytes], *, code: bool = False) -> Format:
    return check_version({path: what(path, body) for path, body in files.items()}, code=code)


def header(text: str, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode() + data


@pytest.mark.parametrize("name", ["model.safetensors", "no-suffix", "weights.dat"])
def test_weights_are_known_by_their_content_under_any_name(name):
    assert what(name, safetensors()) == Content(kind=Kind.WEIGHTS, format=Format.SAFETENSORS)
    assert what(name.replace(".safetensors", ""), gguf()).format is Format.GGUF
    assert what(name.replace(".safetensors", ""), onnx()).format is Format.ONNX


@pytest.mark.parametrize("path", REAL_ONNX, ids=lambda path: path.name)
def test_real_onnx_files_enter(path):
    assert what(path.name, path.read_bytes()).format is Format.ONNX
    assert len(REAL_ONNX) == 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("config.json", JSON),
        ("README.md", "# 模型\n".encode()),
        ("LICENSE", b"Apache-2.0\n"),
        ("empty.txt", b""),
        ("tokenizer.model", sentencepiece()),
        ("vocab.txt", b"[PAD]\n1.\n(\n"),
        ("chat_template.jinja", b"{{ messages }}"),
    ],
)
def test_small_companions_enter(path, body):
    assert what(path, body).kind is Kind.COMPANION


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.pt", "pytorch_model.bin", "notes.txt", "a", "m.onnx"]
)
@pytest.mark.parametrize(
    "body",
    [
        *(pickled(protocol) for protocol in range(6)),
        pickled(2)[:-20],
        zipped(),
        zipped("archive/data.pkl"),
        npy(np.array([{"a": 1}, None], dtype=object)),
    ],
    ids=[*(f"protocol-{i}" for i in range(6)), "cut-off", "torch-zip", "torch-zip-2", "npy-objects"],
)
def test_a_pickle_is_refused_under_any_name_with_a_converter(name, body, capsys):
    with pytest.raises(NotAdmitted) as refused:
        what(name, body)
    assert refused.value.code == "SL-MODEL-PICKLE"
    assert "safetensors" in refused.value.remedy
    assert capsys.readouterr().out == ""


CALL = b"cos\nsystem\n(S'true'\ntR."
LONG = b"x" * 300_000


@pytest.mark.parametrize("name", ["pytorch_model.bin", "notes.txt", "a"])
@pytest.mark.parametrize(
    "body",
    [
        b"S'" + LONG + b"'\n0" + CALL,
        b"S'" + LONG * 4 + b"'\n0" + CALL,
        b"\x80\x04\x8d" + struct.pack("<Q", len(LONG)) + LONG + b"0" + CALL,
        b"X" + struct.pack("<I", len(LONG)) + LONG + b"0" + CALL,
        b"I1\n0" * 100_000 + CALL,
        b"I0x1\n0" + CALL,
        "S'é'\n0".encode() + CALL,
        b"PK\x03\x04" + b"\xff" * 99,
    ],
    ids=["line", "endless-line", "string-8", "string-4", "many", "hexadecimal", "not-ascii", "no-directory"],
)
def test_a_pickle_cannot_hide_behind_what_a_reader_would_skip_or_not_read(name, body):
    with pytest.raises(NotAdmitted) as refused:
        what(name, body)
    assert refused.value.code == "SL-MODEL-PICKLE"


def test_a_safetensors_file_is_no_pickle_where_its_length_begins_as_one_does():
    for first in b"\x8d\x8eXBTG":  # the lowest byte of the header's length
        text = "{}".ljust(256 + first)
        assert what("a", header(text)).format is Format.SAFETENSORS


def test_text_in_a_bin_file_is_no_companion():
    assert what("pytorch_model.bin", b"a text").kind is Kind.OPAQUE


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("m.pt", "safetensors.torch.save_model"),
        ("m.pth", "optimum-cli export onnx"),
        ("sub/M.CKPT", "safetensors.torch"),
        ("m.pkl", "skl2onnx"),
        ("m.joblib", "skl2onnx"),
        ("m.h5", "tf2onnx"),
        ("m.npz", "safetensors.numpy"),
        ("m.npy", "safetensors.numpy"),
    ],
)
def test_names_that_programs_unpickle_are_refused_whatever_is_in_the_file(path, hint):
    for body in (safetensors(), b"hello", b"\0\1\2"):
        with pytest.raises(NotAdmitted) as refused:
            what(path, body)
        assert refused.value.code == "SL-MODEL-PICKLE"
        assert hint in refused.value.remedy


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01",
        header("{", b""),
        header("[]"),
        header('{"a": 1}'),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        header('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', b"\0" * 4),
        header('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', b"\0" * 9),
        header('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}', b"\0" * 12),
        header('{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}', b"\0" * 8),
        header('{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}', b"\0" * 8),
        header('{"a": {"dtype": "X", "shape": [2], "data_offsets": [0, 8]}}', b"\0" * 8),
        header('{"a": {"dtype": "U8", "shape": [-1, -8], "data_offsets": [0, 8]}}', b"\0" * 8),
        header(
            '{"a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},'
            ' "b": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}',
            b"\0" * 8,
        ),
        header('{"__metadata__": {"a": {}}}'),
        header('{"a": {"dtype": "U8", "shape": [' + "1," * 99 + '8], "data_offsets": [0, 8]}}', b"\0" * 8),
        header('{"a": {"dtype": "U8", "shape": [' + "9" * 999 + '], "data_offsets": [0, 8]}}', b"\0" * 8),
        header('{"a":' * 5000),
    ],
)
def test_a_safetensors_file_whose_header_does_not_fit_it_is_refused(body):
    with pytest.raises(NotAdmitted) as refused:
        what("model.safetensors", body)
    assert refused.value.remedy


@pytest.mark.parametrize(
    "body", [b"GGUF", gguf(version=1), gguf(version=2**24), gguf(tensors=2**60), b"GGML" + b"\0" * 99]
)
def test_a_gguf_file_of_no_known_version_or_size_is_refused(body):
    with pytest.raises(NotAdmitted):
        what("model.gguf", body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        message((1, 8)),
        message((7, b"")),
        message((1, 10**6), (7, b"")),
        onnx()[:-3],
        b"\x0b" * 9,
    ],
)
def test_what_is_no_onnx_is_refused_under_its_name(body):
    with pytest.raises(NotAdmitted):
        what("model.onnx", body)


def test_tensors_of_an_onnx_file_may_lie_beside_it():
    files = {
        "onnx/model.onnx": onnx("w/a.bin", "b.data"),
        "onnx/w/a.bin": b"\xf0\1\2",
        "onnx/b.data": b"\xf1\xff",
    }
    assert whole(files) is Format.ONNX
    del files["onnx/b.data"]
    with pytest.raises(NotAdmitted, match="not sent along"):
        whole(files)


@pytest.mark.parametrize(
    "at", ["../../etc/passwd", "/etc/passwd", "..", "a/../../b", "C:\\x", "%2e%2e/x", "\0", "．．/x"]
)
@pytest.mark.parametrize("last", [True, False], ids=["in a node", "in the graph"])
def test_tensors_of_an_onnx_file_may_lie_nowhere_else(at, last):
    with pytest.raises(UsageError):
        what("model.onnx", onnx(*(("fine", at) if last else (at, "fine"))))


def test_an_onnx_file_with_graphs_inside_graphs_without_end_is_refused():
    body = message((2, b"leaf"))
    for _ in range(200):
        body = message((1, message((5, message((6, body))))))
    with pytest.raises(NotAdmitted):
        what("model.onnx", message((1, 8), (7, body)))


def test_an_onnx_file_of_more_fields_than_any_graph_has_is_refused_and_not_walked_for_ever(monkeypatch):
    body = message((1, 8), (7, message(*[(1, message((1, b"x")))] * 60)))
    assert what("model.onnx", body).format is Format.ONNX
    monkeypatch.setattr(protobuf.Walk.__init__, "__defaults__", (100,))
    with pytest.raises(NotAdmitted):
        what("model.onnx", body)


@pytest.mark.parametrize(
    "body", [b"\x7fELF\2\1\1\0", b"MZ\x90\0\xff", b"\0asm\1\0\0\0", b"\xca\xfe\xba\xbe\0"]
)
def test_executables_are_refused_even_where_code_is_allowed(body):
    with pytest.raises(NotAdmitted) as refused:
        whole({"m.gguf": gguf(), "tool": body}, code=True)
    assert refused.value.code == "SL-MODEL-CODE"


@pytest.mark.parametrize(
    ("path", "body"), [("modeling.py", b"import os\n"), ("run", b"#!/bin/sh\n"), ("a.IPYNB", b"{}")]
)
def test_programs_enter_only_where_their_pusher_says_so(path, body):
    with pytest.raises(NotAdmitted, match="it is a program"):
        whole({"m.gguf": gguf(), path: body})
    assert whole({"m.gguf": gguf(), path: body}, code=True) is Format.GGUF


@pytest.mark.parametrize(
    "body", [b"\x89PNG\r\n\x1a\n\0", b"\x1f\x8b\x08\0", zipped("a.txt"), b"\xff\xfe\0\1" * 9]
)
def test_what_is_neither_weights_nor_text_is_refused_and_can_be_left_out(body):
    with pytest.raises(NotAdmitted) as refused:
        whole({"m.gguf": gguf(), "thing": body})
    assert "--exclude" in refused.value.remedy


def test_without_weights_there_is_no_version():
    with pytest.raises(NotAdmitted) as refused:
        whole({"config.json": JSON})
    assert refused.value.code == "SL-MODEL-NO-WEIGHTS"


@pytest.mark.parametrize("body", [b"{", b'{"a": NaN}', b"[" * 100_000, b"{}{}"])
def test_json_that_is_none_is_refused(body):
    with pytest.raises(NotAdmitted):
        what("config.json", body)


def test_of_several_formats_the_version_is_of_the_first_that_runtimes_prefer():
    assert whole({"o.onnx": onnx(), "m.safetensors": safetensors(), "q.gguf": gguf()}) is Format.SAFETENSORS


@given(
    st.sampled_from(["a.safetensors", "a.onnx", "a.gguf", "a.json", "a", "a.bin", "a.pkl"]),
    st.binary(max_size=300),
)
def test_any_bytes_at_all_are_told_apart_without_an_error_of_our_own(path, body):
    try:
        found = what(path, body)
    except UsageError as refused:
        found = refused
    assert isinstance(found, Content) or found.remedy


@given(st.binary(max_size=400), st.integers(0, 200))
def test_damage_in_a_header_is_noticed_or_harmless(noise, at):
    good = safetensors()
    damaged = good[:at] + noise + good[at + len(noise) :]
    try:
        found = what("m.safetensors", damaged)
    except NotAdmitted:
        return
    length = int.from_bytes(damaged[:8], "little")
    assert found.kind is Kind.WEIGHTS
    assert json.loads(damaged[8 : 8 + length]) is not None
