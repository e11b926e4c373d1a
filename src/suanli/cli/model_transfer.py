"""Files of models on their way to the registry and back: in pieces, verified, and resumed by the same command."""

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suanli.cli.client import Client, path_of
from suanli.cli.errors import Refused
from suanli.cli.progress_line import ProgressLine
from suanli.cli.session import Session
from suanli.domain.errors import Conflict
from suanli.reports.quantities import memory

if TYPE_CHECKING:
    from suanli.domain.model import ModelFile
    from suanli.models.source import Source, SourceFile

PIECE_BYTES = 8 * 2**20
TRANSFER_S = 600.0
"""A request with a piece may take that long, unless `--timeout` says otherwise."""

REFUSALS_MAX = 100
BUSY_S = 0.2


class Progress:
    """Of a transfer of so many bytes."""

    def __init__(self, session: Session, what: str, total_bytes: int) -> None:
        self._line, self._what, self._total_bytes = ProgressLine(session), what, total_bytes
        self._done_bytes = 0

    def add(self, count_bytes: int) -> None:
        self._done_bytes += count_bytes
        if self._line.is_due:
            share = self._done_bytes / self._total_bytes if self._total_bytes else 1.0
            done = f"{memory(self._done_bytes)} of {memory(self._total_bytes)}"
            self._line.say(f"{self._what} {done} ({share:.0%})")

    def end(self) -> None:
        self._line.end()


def promised(session: Session, source: "Source", *, code: bool) -> "list[ModelFile]":
    """Each file with its size and SHA-256, looked into as the registry will: so that nothing is sent in vain."""
    from suanli.domain.model import ModelFile
    from suanli.models.check import check_version, identify

    contents = {}
    for file in source.files:
        with file.open() as opened:
            contents[file.path] = identify(file.path, opened, file.size_bytes)
    check_version(contents, code=code)
    progress = Progress(session, "Hashing", sum(file.size_bytes for file in source.files))
    files = [
        ModelFile(path=file.path, size_bytes=file.size_bytes, sha256=_sha256_of(file, progress))
        for file in source.files
    ]
    progress.end()
    return files


def send(
    session: Session,
    client: Client,
    name: str,
    begun: Mapping[str, Any],
    by_sha256: "Mapping[str, SourceFile]",
) -> None:
    """All that the registry still wants of an upload."""
    wanted = begun["wanted"]
    left_bytes = sum(each["size_bytes"] - each["offset"] for each in wanted)
    progress = Progress(session, "Sending", left_bytes)
    for each in wanted:
        path = path_of("models", name, "uploads", begun["upload"], each["sha256"])
        with by_sha256[each["sha256"]].open() as file:
            _send_file(client, path, file, each["offset"], each["size_bytes"], progress)
    progress.end()


def _send_file(
    client: Client, path: str, file: Any, offset: int, size_bytes: int, progress: Progress
) -> None:
    """Piece by piece; where the registry is further or less far, from there."""
    refusals = 0
    while offset < size_bytes:
        file.seek(offset)
        piece = file.read(min(PIECE_BYTES, size_bytes - offset))
        if not piece:
            raise Conflict(
                "A file became shorter while it was sent.", remedy="Push again when it is at rest."
            )
        at = offset
        try:
            offset = patiently(lambda piece=piece, at=at: client.send(path, piece, offset=at))["offset"]
        except Refused as refused:
            refusals += 1
            if refused.code not in ("SL-MODEL-OFFSET", "SL-MODEL-BUSY") or refusals > REFUSALS_MAX:
                raise
            if (
                refused.code == "SL-MODEL-BUSY"
            ):  # the last piece of a push that was killed is still being written
                time.sleep(BUSY_S)
            offset = int(refused.evidence.get("offset", offset))
        progress.add(max(0, offset - at))


def patiently(call: Callable[[], Any]) -> Any:
    """What `call` returns, after waiting as long as the controller says where it came too often."""
    for _ in range(REFUSALS_MAX):
        try:
            return call()
        except Refused as refused:
            if refused.http_status != 429:
                raise
            time.sleep(float(refused.evidence.get("retry_after_s", 1)))
    return call()


def fetch(session: Session, client: Client, version: Mapping[str, Any], target: Path) -> None:
    """All files of a version as the folder `target`, verified, there whole or not at all.

    What came before is kept in a hidden folder beside it, and gone on with. Raises Conflict where something is in the
    way, or a file came as something else than it should be.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(
            f"{target} is there already.", remedy="Name another folder, or remove it.", code="SL-MODEL-TARGET"
        )
    draft = target.parent / f".{target.name}.{version['digest'][:16]}.partial"
    draft.mkdir(parents=True, exist_ok=True)
    progress = Progress(session, "Fetching", version["size_bytes"])
    for file in version["files"]:
        _fetch_file(client, version, file, draft, progress)
    progress.end()
    draft.rename(target)


def _fetch_file(
    client: Client, version: Mapping[str, Any], file: Mapping[str, Any], draft: Path, progress: Progress
) -> None:
    from suanli.models.paths import inside

    place = inside(draft, file["path"])
    place.parent.mkdir(parents=True, exist_ok=True)
    path = path_of("models", version["name"], str(version["number"]), "files", file["path"])
    hasher = hashlib.sha256()
    with place.open("a+b") as out:
        out.seek(0)
        while piece := out.read(2**20):
            hasher.update(piece)
        at = out.tell()
        progress.add(at)
        while at < file["size_bytes"]:
            last = min(at + PIECE_BYTES, file["size_bytes"]) - 1
            piece = patiently(lambda first=at, last=last: client.read(path, first, last))
            out.write(piece)
            hasher.update(piece)
            at += len(piece)
            progress.add(len(piece))
    if hasher.hexdigest() != file["sha256"]:
        place.unlink()
        raise Conflict(
            f"{file['path']} came as something else than version {version['number']} holds.",
            remedy="Pull again; if it stays so, the models' storage is damaged.",
            evidence={"sha256": hasher.hexdigest(), "expected_sha256": file["sha256"]},
            code="SL-MODEL-DIGEST",
        )


def _sha256_of(file: "SourceFile", progress: Progress) -> str:
    hasher = hashlib.sha256()
    with file.open() as opened:
        while piece := opened.read(2**20):
            hasher.update(piece)
            progress.add(len(piece))
    return hasher.hexdigest()
