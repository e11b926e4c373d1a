"""Models of transformers from a folder: safetensors only, no code of the model's, nothing from the network."""

import os
from pathlib import Path
from typing import Any

import torch
import transformers

from suanli.domain.errors import SpecError
from suanli.serving.runtime.options import Options
from suanli.serving.runtime.threads import threads


def pretrained(kind: Any, options: Options) -> Any:
    """The model in evaluation mode on its device: float32 on a CPU, where half precision is many times slower, else as
    stored. Raises SpecError where there are no safetensors.
    """
    if not any(options.model_dir.glob("*.safetensors")):
        raise SpecError(
            f"{options.model_dir} has no *.safetensors; other weights are not loaded, as pickles run code",
            remedy="convert it: model.save_pretrained(folder, safe_serialization=True), and push that",
        )
    torch.set_num_threads(threads())
    transformers.utils.logging.disable_progress_bar()
    model = kind.from_pretrained(
        options.model_dir,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=torch.float32 if options.device == "cpu" else "auto",
    )
    return model.eval().to(options.device)


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def limit_growth() -> None:
    """Take no more of an accelerator than $SUANLI_ACCELERATOR_FRACTION, where that is set."""
    fraction = os.environ.get("SUANLI_ACCELERATOR_FRACTION")
    if fraction and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(min(1.0, float(fraction)))
