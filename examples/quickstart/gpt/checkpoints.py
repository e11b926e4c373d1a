"""A checkpoint of the GPT: weights and optimiser state as safetensors, the rest as JSON; no pickle."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model

import suanli
from gpt.model import GPT, Shape


def save(
    folder: Path,
    step: int,
    model: GPT,
    optimiser: torch.optim.Optimizer,
    tokenizer: Path,
    facts: Mapping[str, Any],
) -> None:
    """Commit all that going on from `step`, or serving it, needs. `facts` are kept for whoever reads state.json."""

    def write(draft: Path) -> None:
        save_model(model, str(draft / "model.safetensors"))
        save_file(_optimiser_tensors(optimiser), draft / "optimiser.safetensors")
        state = {"step": step, "shape": model.shape.as_dict(), **facts}
        (draft / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
        shutil.copyfile(tokenizer, draft / "tokenizer.json")

    suanli.commit_checkpoint(folder, step, write)


def resume(folder: Path, model: GPT, optimiser: torch.optim.Optimizer) -> int:
    """Load the newest checkpoint into both and return its step; 0 and nothing loaded where there is none."""
    checkpoint = suanli.latest_checkpoint(folder)
    if checkpoint is None:
        return 0
    load_model(model, checkpoint / "model.safetensors")
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in load_file(checkpoint / "optimiser.safetensors").items():
        parameter, kind = name.split(".")
        state.setdefault(int(parameter), {})[kind] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return _state(checkpoint)["step"]


def trained_model(checkpoint: Path) -> tuple[GPT, int]:
    """The model, ready to be asked, and the step it was trained to."""
    state = _state(checkpoint)
    model = GPT(Shape(**state["shape"]))
    load_model(model, checkpoint / "model.safetensors")
    return model.eval(), state["step"]


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Its state by `parameter number.kind`, such as `3.exp_avg`."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{kind}": tensor for number, kinds in state.items() for kind, tensor in kinds.items()}


def _state(checkpoint: Path) -> dict[str, Any]:
    return json.loads((checkpoint / "state.json").read_bytes())
