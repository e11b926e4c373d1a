"""What a model's folder says about itself, read without any framework."""

import json
from pathlib import Path
from typing import Any

from suanli.domain.errors import SpecError
from suanli.domain.model import task_of_architecture


def task_of(folder: Path) -> str:
    """What the model is for: sentence-transformers' modules.json, else its class, of which any that names no task gives
    hidden states, so embeddings. Raises SpecError."""
    if (folder / "modules.json").is_file():
        return "embeddings"
    names = config_of(folder).get("architectures") or []
    if not names:
        raise SpecError(
            f"{folder} does not say what it is for: config.json names no architecture", remedy="give --task"
        )
    return task_of_architecture(str(names[0])) or "embeddings"


def config_of(folder: Path) -> dict[str, Any]:
    """A model's config.json, {} where there is none. Raises SpecError for one that is no JSON object."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise SpecError("config.json is not a JSON object", remedy="push the model anew")
    return config


def read_json(path: Path) -> Any:
    """{} where there is no such file. Raises SpecError for one that isn't JSON."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise SpecError(f"{path.name} is not JSON: {error}", remedy="push the model anew") from error
