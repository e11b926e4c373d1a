"""`-f FILE|-|FOLDER`: the texts to send, with the folder that relative paths in them start from."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from suanli.domain.errors import UsageError

SUFFIXES = (".yaml", ".yml", ".json")
FILE_BYTES_MAX = 16 * 2**20

Files = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", metavar="FILE", help="YAML or JSON file, `-` for stdin, or a folder of files."
    ),
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="[NAME:]FIELD=VALUE", help="Change a field, as in `--set gpt:resources.cpus=2`."
    ),
]


def sources(names: Sequence[str]) -> list[dict[str, str]]:
    """`name`, `text` and `folder` of each file, each once however often it is named. Raises UsageError."""
    return list({os.path.realpath(s["name"]): s for name in names for s in _sources(name)}.values())


def _sources(name: str) -> Iterator[dict[str, str]]:
    if name == "-":
        yield {"name": "<stdin>", "text": sys.stdin.read(FILE_BYTES_MAX + 1), "folder": str(Path.cwd())}
        return
    path = Path(name)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise UsageError(f"{name} holds no file that ends in {', '.join(SUFFIXES)}.")
        yield from (_read(file) for file in files)
    else:
        yield _read(path)


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.", remedy="Save it as UTF-8.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    return {"name": str(path), "text": text, "folder": str(path.parent.absolute())}


def typed(path: Path) -> str:
    """An absolute path as one would type it here in a shell."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
