"""A folder with model.onnx, run by ONNX Runtime: embeddings, text classification, or any graph by its tensors' names.

What the graph's own numbers are (float32, int8 ...) is its affair: whatever ONNX Runtime runs is served.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from tokenizers import Tokenizer

from suanli.domain.errors import SpecError
from suanli.serving.runtime.files import config_of
from suanli.serving.runtime.loaded import Compute, Embedded, Loaded
from suanli.serving.runtime.memory import onnx_file
from suanli.serving.runtime.options import Options
from suanli.serving.runtime.pooling import Pooling, pooling_of
from suanli.serving.runtime.threads import threads

NUMBERS = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16, "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_, "tensor(string)": np.str_,
}  # fmt: skip
TASK_OF_HEAD = {"logits": "text-classification"}
"""By the name of the first output, as exporters write it; hidden states otherwise."""


async def load(options: Options, compute: Compute) -> Loaded:
    graph = await compute.run(Graph, options.model_dir, options.device)
    task = options.task or graph.task()
    facts = {"runtime": "onnx", "task": task}
    if task == "tensors":

        async def run(inputs: list[Any]) -> list[Any]:
            return await compute.run(graph.run_each, inputs)

        return Loaded(infer=run, facts=facts)

    texts = await compute.run(TextGraph, graph, pooling_of(options.model_dir))

    async def warm_up() -> None:
        await compute.run(texts.outputs, ["a"])

    if task == "embeddings":

        async def embed(given: list[str]) -> list[Embedded]:
            return await compute.run(texts.embed, given)

        return Loaded(embed=embed, warm_up=warm_up, facts=facts)

    async def classify(given: list[Any]) -> list[Any]:
        return await compute.run(texts.classify, given)

    return Loaded(infer=classify, tokens=texts.tokens, warm_up=warm_up, facts=facts)


class Graph:
    """A session, and what its inputs are called and made of."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.folder = folder
        path = onnx_file(folder)
        if path is None:
            raise SpecError(f"{folder} has no model.onnx", remedy="push a folder with model.onnx in it")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = threads(), 1
        providers = ["CUDAExecutionProvider"] if device == "cuda" else []
        self.session = onnxruntime.InferenceSession(path, settings, [*providers, "CPUExecutionProvider"])
        self.inputs = {one.name: one for one in self.session.get_inputs()}
        self.outputs = [one.name for one in self.session.get_outputs()]

    def task(self) -> str:
        """What it is for, by its tokenizer and its first output's name."""
        if not (self.folder / "tokenizer.json").is_file() or "input_ids" not in self.inputs:
            return "tensors"
        return TASK_OF_HEAD.get(self.outputs[0], "embeddings")

    def run_each(self, inputs: list[Any]) -> list[Any]:
        """Each input is an object of tensors by name; so is each output. A graph need not take batches, so that inputs
        are run one by one: many rows go into one tensor. Raises ValueError with the tensor at fault.
        """
        return [self._run(one) for one in inputs]

    def _run(self, given: Any) -> dict[str, Any]:
        expected = ", ".join(f"{name} {one.type} {one.shape}" for name, one in self.inputs.items())
        if not isinstance(given, dict) or given.keys() != self.inputs.keys():
            raise ValueError(f"each input must be an object with these tensors: {expected}")
        try:
            feed = {name: np.array(value, NUMBERS[self.inputs[name].type]) for name, value in given.items()}
            results: list[Any] = list(self.session.run(None, feed))
        except KeyError as error:
            raise ValueError(f"tensors of {error} cannot be given as JSON") from error
        except (ValueError, TypeError, OverflowError, InvalidArgument) as error:
            raise ValueError(f"the tensors don't fit the graph, which takes {expected}: {error}") from error
        return {name: result.tolist() for name, result in zip(self.outputs, results, strict=True)}


class TextGraph:
    """A graph behind a tokenizer."""

    def __init__(self, graph: Graph, pooling: Pooling) -> None:
        self._graph, self._pooling = graph, pooling
        path = graph.folder / "tokenizer.json"
        if not path.is_file():
            raise SpecError(
                f"{graph.folder} has no tokenizer.json", remedy="push it along, or give --task tensors"
            )
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.enable_truncation(pooling.tokens_max)
        padding = config_of(graph.folder).get("pad_token_id") or 0
        self._tokenizer.enable_padding(pad_id=padding)
        self._labels = config_of(graph.folder).get("id2label") or {}

    def outputs(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The graph's first output, and the mask [batch, time] of the tokens."""
        encoded = self._tokenizer.encode_batch(self._pooling.texts(texts))
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        tensors = {
            "input_ids": np.array([one.ids for one in encoded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([one.type_ids for one in encoded], np.int64),
        }
        feed = {name: tensor for name, tensor in tensors.items() if name in self._graph.inputs}
        first: Any = self._graph.session.run(self._graph.outputs[:1], feed)[0]
        return first, mask

    def embed(self, texts: list[str]) -> list[Embedded]:
        hidden, mask = self.outputs(texts)
        vectors = (
            self._pooling.vectors(hidden, mask) if hidden.ndim == 3 else hidden
        )  # else pooled by the graph
        return [Embedded(*both) for both in zip(vectors.tolist(), mask.sum(1).tolist(), strict=True)]

    def classify(self, texts: list[Any]) -> list[Any]:
        """An output is a list of `{label, score}`, the likeliest first. Raises ValueError for what isn't text."""
        for text in texts:
            if not isinstance(text, str):
                raise ValueError(f"each input must be a text, one is {type(text).__name__}")
        logits = self.outputs(texts)[0].astype(np.float64)
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        return [self._ranked(row) for row in chances]

    def _ranked(self, chances: np.ndarray) -> list[dict[str, Any]]:
        order = np.argsort(-chances, kind="stable").tolist()
        return [
            {"label": self._labels.get(str(at), f"LABEL_{at}"), "score": float(chances[at])} for at in order
        ]

    def tokens(self, text: str) -> int:
        return sum(self._tokenizer.encode(text).attention_mask)
