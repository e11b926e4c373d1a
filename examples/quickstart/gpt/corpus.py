"""Text that is on every machine: the source of Python's standard library, cut into byte-pair tokens.

Some files, chosen by a stable hash of their names, are held out: neither the tokeniser nor the model trains on them.
"""

import hashlib
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

VOCABULARY = 1024
FILE_MARK = "<|file|>"
# Not ours to read (site-packages), absent on some systems (test), or tables rather than programs.
SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "encodings", "pydoc_data"}


class Corpus(NamedTuple):
    """Token ids of both parts, each file opened by FILE_MARK, and how many bytes of text each token stands for."""

    train: np.ndarray
    validation: np.ndarray
    token_bytes: np.ndarray


def prepare(folder: Path) -> None:
    """Encode the corpus into `folder`, unless an earlier attempt did. The folder appears whole or not at all."""
    if folder.exists():
        return
    draft = folder.with_name(f".{folder.name}-draft")
    shutil.rmtree(draft, ignore_errors=True)  # of an attempt that was stopped in the midst of it
    draft.mkdir(parents=True)
    print("encoding the source of the standard library", flush=True)
    _encode(draft)
    draft.rename(folder)


def load(folder: Path) -> Corpus:
    return Corpus(**load_file(folder / "tokens.safetensors"))


def _encode(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    held_out, kept = list[str](), list[str]()
    for name, text in _source_files():
        (held_out if is_held_out(name) else kept).append(text)

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[FILE_MARK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(kept[::4], trainer)  # enough for a thousand pieces, and quicker
    tokenizer.save(str(folder / "tokenizer.json"))

    mark = tokenizer.token_to_id(FILE_MARK)

    def ids(texts: list[str]) -> np.ndarray:
        encoded = tokenizer.encode_batch_fast(texts)
        return np.concatenate([np.array([mark, *file.ids], dtype=np.uint16) for file in encoded])

    # In a byte-level vocabulary a token has one character per byte; the mark stands for no text.
    token_bytes = np.zeros(tokenizer.get_vocab_size(), dtype=np.uint16)
    for piece, token in tokenizer.get_vocab().items():
        token_bytes[token] = 0 if piece == FILE_MARK else len(piece)
    save_file(
        {"train": ids(kept), "validation": ids(held_out), "token_bytes": token_bytes},
        folder / "tokens.safetensors",
    )


def is_held_out(name: str) -> bool:
    """One file in twenty, the same ones on every machine and in every run."""
    return hashlib.sha256(name.encode()).digest()[0] < 256 // 20


def _source_files() -> Iterator[tuple[str, str]]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if not SKIPPED.intersection(name.parts) and not name.name.startswith("_sysconfigdata"):
            yield name.as_posix(), path.read_text(encoding="utf-8", errors="replace")
