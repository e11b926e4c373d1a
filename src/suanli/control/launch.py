"""From a placed record to what the engine needs, folders included."""

import hashlib
from pathlib import Path

import msgspec

from suanli.control.reach import Reach
from suanli.domain.observation import Launch
from suanli.domain.record import Record
from suanli.domain.world import World


def launch_of(
    record: Record, world: World, home: Path, run: tuple[str, ...], reach: Reach | None = None
) -> Launch:
    """The launch of the live attempt, whose workers run `run`, and are reached so. Raises ValueError where there is
    none: a bug of the caller."""
    if record.attempt is None:
        raise ValueError(f"{record.key} has no live attempt")
    reach = reach or Reach()
    source = record.workload.model_from
    model = world.records.get(source) if source else None
    return Launch(
        key=record.key,
        number=record.attempt.number,
        workload=msgspec.structs.replace(record.workload, run=run),
        placements=record.attempt.placements,
        output_dir=str(output_dir(home, record)),
        log_dir=str(log_dir(home, record)),
        model_dir=str(output_dir(home, model)) if model else "",
        listen_host=reach.host,
        token=reach.token,
    )


def output_dir(home: Path, record: Record) -> Path:
    """Shared by all attempts of one submission, so that a later one finds the checkpoints of an earlier one."""
    return home / "outputs" / folder_of(record)


def log_dir(home: Path, record: Record) -> Path:
    """What its workers wrote, on the node where each of them ran."""
    return home / "logs" / folder_of(record)


def folder_of(record: Record) -> str:
    """Readable, and another one after the same name was submitted anew."""
    submission = hashlib.sha256(f"{record.key}:{record.submitted_s}".encode()).hexdigest()[:8]
    return f"{record.key.replace('/', '.')}-{submission}"
