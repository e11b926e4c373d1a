"""Measured speeds that belong to traces: Gavel's tables, and ElasticFlow's."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from suanli.domain.errors import UsageError
from suanli.spec.problems import Findings
from suanli.traces.accelerators import model_of
from suanli.traces.sheet import read_headed

Speeds = dict[tuple[str, int], dict[str, float]]
"""Units of work a second of the whole gang, by (what runs, devices), by accelerator; one that cannot is absent."""

_KEY = re.compile(r"\('(.+)', (\d+)\)")
_ALONE = "null"
_SPREAD = "_unconsolidated"
_FOLDER = "throughputs_"


def gavel_speeds(path: Path) -> Speeds:
    """Steps a second alone on `scale` devices that lie together, from Gavel's JSON. O(entries).

    0 and a missing entry both mean that it cannot run there. Raises UsageError where the file is not of that shape.
    """
    try:
        tables = msgspec.json.decode(
            path.read_bytes(), type=dict[str, dict[str, dict[str, float | list[float]]]]
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is no table of throughputs in Gavel's format: {error}.") from error
    speeds: Speeds = {}
    for worker, table in tables.items():
        if worker.endswith(_SPREAD):
            continue
        model = model_of(worker)
        if not model:
            raise UsageError(f"{path}: no accelerator is called {worker!r}.")
        for key, entry in table.items():
            found = _KEY.fullmatch(key)
            if found is None:
                raise UsageError(f"{path}: expected a key such as \"('LM (batch size 5)', 2)\"; got {key!r}.")
            alone = entry.get(_ALONE)
            row = speeds.setdefault((found[1], int(found[2])), {})
            if isinstance(alone, float) and alone > 0:
                row[model] = alone
    return _fastest_first(speeds)


def elasticflow_speeds(folder: Path, findings: Findings) -> Speeds:
    """Iterations a second from files `throughputs_ACCELERATOR/MODEL.csv`, by (`MODEL (batch size N)`, devices).

    `folder` holds such folders or is one. Empty, nan and 0 mean that it was not measured or cannot run. O(cells).
    """
    folders = [folder] if folder.name.startswith(_FOLDER) else sorted(folder.glob(f"{_FOLDER}*"))
    if not folders:
        raise UsageError(f"{folder} holds no folder `{_FOLDER}ACCELERATOR`.")
    speeds: Speeds = {}
    for place in folders:
        name = place.name.removeprefix(_FOLDER)
        if not (model := model_of(name)):
            raise UsageError(f"{place}: no accelerator is called {name!r}.")
        for path in sorted(place.glob("*.csv")):
            for key, speed in _measured(path, findings):
                speeds.setdefault(key, {})[model] = speed
    return _fastest_first(speeds)


def _fastest_first(speeds: Speeds) -> Speeds:
    """With the accelerators in the order in which their users would ask for them."""
    return {key: dict(sorted(row.items(), key=lambda item: -item[1])) for key, row in speeds.items()}


def _measured(path: Path, findings: Findings) -> Iterator[tuple[tuple[str, int], float]]:
    sheet = read_headed(path, findings, ["global_batch_size"])
    batches = sheet.numbers("global_batch_size", least=1, whole=True)
    for count in (name for name in sheet.columns if name.isdigit()):
        speeds = sheet.numbers(count, least=0, default=0, blank=("", "nan"))
        for batch, speed in zip(batches, speeds, strict=True):
            if speed > 0:
                yield (program_of(path.stem, batch), int(count)), speed


def program_of(model: str, batch: float) -> str:
    """What runs, as Gavel writes it."""
    return f"{model} (batch size {batch:.0f})"
