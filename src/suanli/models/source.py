"""Where a model is pushed from: a folder (Hugging Face's too), a file, an object store, or MLflow by its client."""

import fnmatch
import importlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from suanli.domain.errors import NotFound, Unavailable, UsageError
from suanli.domain.model import task_of_architecture
from suanli.models.paths import FILES_MAX, check_paths
from suanli.models.storage import failures_of, file_system, open_remote, told
from suanli.models.uris import MLFLOW, Address, parse_source

SKIPPED = frozenset({".git", ".cache", "__pycache__", ".DS_Store", ".ipynb_checkpoints"})
CONFIG_BYTES_MAX = 2**20
DEPTH_MAX = 16


class SourceFile(NamedTuple):
    """A file of the model: its path in the version, and how to read it."""

    path: str
    size_bytes: int
    open: Callable[[], BinaryIO]


class Source(NamedTuple):
    """Files by path; the task and tags that a Hugging Face configuration tells."""

    files: tuple[SourceFile, ...]
    task: str
    tags: dict[str, str]


@contextmanager
def open_source(text: str, exclude: Sequence[str] = ()) -> Iterator[Source]:
    """What lies at a path or address, but what matches one of the patterns `exclude` (`*.bin`, `onnx/*`).

    Raises UsageError for an address that is not allowed, a path that leads out of its folder, or too many files;
    Unavailable where an object store cannot be reached.
    """
    address = parse_source(text)
    if address.scheme in MLFLOW:
        with tempfile.TemporaryDirectory(prefix="suanli-mlflow-") as folder:
            yield _described(_folder(_from_mlflow(address, Path(folder)), exclude))
    elif address.scheme == "file":
        place = Path(address.path)
        yield _described(_folder(place, exclude) if place.is_dir() else [_file(place)])
    else:
        yield _described(list(_remote(address, exclude)))


def task_and_tags(config: dict[str, Any], paths: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What `config.json` says that the model is for. A folder with `modules.json` is sentence-transformers'."""
    architectures = config.get("architectures")
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    tags = {
        "architecture": architecture,
        "model_type": str(config.get("model_type") or ""),
        "dtype": str(config.get("dtype") or config.get("torch_dtype") or ""),
    }
    task = "embeddings" if "modules.json" in paths else task_of_architecture(architecture)
    return task, {key: value for key, value in tags.items() if value and value.isprintable()}


def _described(files: Sequence[SourceFile]) -> Source:
    if not files:
        raise UsageError("There is no file to push.", remedy="Name a folder or file that holds the model.")
    check_paths(file.path for file in files)
    ordered = tuple(sorted(files, key=lambda file: file.path))
    config = next((file for file in ordered if file.path == "config.json"), None)
    if config is None or config.size_bytes > CONFIG_BYTES_MAX:
        return Source(ordered, "", {})
    with config.open() as opened:
        try:
            read = msgspec.json.decode(opened.read(), type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            return Source(ordered, "", {})  # the check of its content says so, and better
    return Source(ordered, *task_and_tags(read, [file.path for file in ordered]))


def _file(place: Path) -> SourceFile:
    return _opened(place.name, place, place.parent)


def _folder(root: Path, exclude: Sequence[str]) -> list[SourceFile]:
    """Its files, those below it too. Links may lead to files inside it, or, as the cache of Hugging Face has them,
    from `snapshots/…` to the `blobs` of the same model."""
    bounds = root.resolve()
    if bounds.parent.name == "snapshots" and (bounds.parent.parent / "blobs").is_dir():
        bounds = bounds.parent.parent
    return [_opened(path, place, bounds) for path, place in _walk(root, "", exclude, 0)]


def _walk(folder: Path, prefix: str, exclude: Sequence[str], depth: int) -> Iterator[tuple[str, Path]]:
    if depth > DEPTH_MAX:
        raise UsageError(f"{folder} is more than {DEPTH_MAX} folders deep.", code="SL-MODEL-PATH")
    with _readable(folder), os.scandir(folder) as entries:
        for count, entry in enumerate(sorted(entries, key=lambda entry: entry.name)):
            path = prefix + entry.name
            if entry.name in SKIPPED or _matches(path, exclude):
                continue
            if count > FILES_MAX:
                raise UsageError(f"{folder} holds more than {FILES_MAX} files.", code="SL-MODEL-FILES")
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{path}/", exclude, depth + 1)
            else:
                yield path, folder / entry.name


def _opened(path: str, place: Path, bounds: Path) -> SourceFile:
    with _readable(place):
        real = place.resolve(strict=True)
        state = real.stat()
    if not real.is_relative_to(bounds.resolve()):
        raise UsageError(
            f"{path[:200]!r} is a link that leads out of its folder.",
            remedy="Replace it by the file itself: `cp -rL FOLDER COPY`, then push the copy.",
            code="SL-MODEL-PATH",
        )
    if not stat.S_ISREG(state.st_mode):
        raise UsageError(
            f"{path[:200]!r} is no file, but a folder behind a link, a pipe or a device.",
            code="SL-MODEL-PATH",
        )
    return SourceFile(path, state.st_size, partial(_open_local, real))


def _open_local(place: Path) -> BinaryIO:
    with _readable(place):
        return place.open("rb")


def _remote(address: Address, exclude: Sequence[str]) -> Iterator[SourceFile]:
    failures = failures_of(address.scheme)
    with told(address.url, failures):
        files = file_system(address.scheme)
        found = files.find(address.path, detail=True)
    root = address.path if len(found) != 1 or address.path not in found else address.path.rpartition("/")[0]
    for place, info in found.items():
        path = str(place).removeprefix(root).lstrip("/")
        if not _matches(path, exclude):
            opened = partial(_open_remote, files, str(place), f"{address.scheme}://{place}", failures)
            yield SourceFile(path, int(info["size"]), opened)


def _open_remote(files: Any, place: str, url: str, failures: tuple[type[Exception], ...]) -> BinaryIO:
    opened = open_remote(files, place, url, failures)
    if opened is None:
        raise UsageError(
            f"{url[:200]} went away while it was read.",
            remedy="Push again when it is at rest.",
            code="SL-MODEL-SOURCE",
        )
    return opened


def _from_mlflow(address: Address, folder: Path) -> Path:
    """What MLflow's own client finds under that address, by its settings (`MLFLOW_TRACKING_URI`).

    Raises UsageError without that client, NotFound, Unavailable.
    """
    try:
        artifacts = importlib.import_module("mlflow.artifacts")
        failed = importlib.import_module("mlflow.exceptions").MlflowException
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{address.url} is MLflow's, and its client is not installed.",
            remedy="Run `pip install mlflow-skinny`, and set MLFLOW_TRACKING_URI; or push a folder.",
            code="SL-MODEL-MLFLOW",
        ) from error
    try:
        return Path(artifacts.download_artifacts(artifact_uri=address.url, dst_path=str(folder)))
    except (failed, OSError) as error:
        said = str(error).partition("\n")[0]
        is_missing = getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
        raise (NotFound if is_missing else Unavailable)(
            f"MLflow does not give {address.url}: {said[:300]}",
            remedy="Check MLFLOW_TRACKING_URI, and what is registered there.",
            code="SL-MODEL-MLFLOW",
        ) from error


def _matches(path: str, patterns: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path, p) or fnmatch.fnmatchcase(name, p) for p in patterns)


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a NUL; RuntimeError: links in a circle
        said = getattr(error, "strerror", None) or error
        raise UsageError(f"{str(place)[:200]} cannot be read: {said}.", code="SL-MODEL-SOURCE") from error
