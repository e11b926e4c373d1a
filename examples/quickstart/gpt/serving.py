"""The trained GPT as user code that a replica serves: `--runtime python --code gpt.serving:Gpt`.

It answers `/v1/completions` and `/v1/chat/completions`, streaming; `serve_gpt.py` is built on the same class.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer

import suanli
from gpt import checkpoints
from suanli.serving.runtime.generation import Generation

FILE_MARK = 0
"""The token that opens each file of the corpus, and so ends the one before it."""
TORN = "\ufffd"
"""What the decoder writes for the first bytes of a character whose rest is in the next token."""


class Gpt:
    """A checkpoint: the folder of one, or the newest of a training's output."""

    def load(self, model_dir: Path) -> None:
        checkpoint = model_dir
        if not (model_dir / "state.json").is_file():
            newest = suanli.latest_checkpoint(model_dir / "checkpoints")
            if newest is None:
                raise FileNotFoundError(f"no checkpoint in {model_dir / 'checkpoints'}")
            checkpoint = newest
        torch.set_num_threads(1)
        self.network, self.step = checkpoints.trained_model(checkpoint)
        self.tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))

    def generate(self, prompt: str, params: Generation) -> Iterator[str]:
        """The text that follows, token by token; "" where a token only begins a character."""
        if params.top_p < 1:
            raise ValueError("this model draws by temperature alone; leave top_p out")
        made, shown = list[int](), ""
        for token in self.continuation(prompt, params):
            made.append(token)
            whole = self.tokenizer.decode(made).rstrip(TORN)
            yield whole[len(shown) :]
            shown = whole
        yield self.tokenizer.decode(made)[len(shown) :]

    def continuation(self, prompt: str, params: Generation) -> Iterator[int]:
        """The tokens that follow, up to the end of the file that the model sees itself in."""
        seed = secrets.randbits(63) if params.seed is None else params.seed
        draw = torch.Generator().manual_seed(seed)
        read = [FILE_MARK, *self.tokenizer.encode(prompt).ids]
        for _ in range(params.max_tokens):
            token = self.network.continuation(read, params.temperature, draw)
            if token == FILE_MARK:
                return
            read.append(token)
            yield token

    def tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text).ids)
