"""The registry of models: versions, aliases, evaluations, and files on their way in and out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, BinaryIO

import msgspec
import structlog
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.requests import ClientDisconnect

from suanli.api.answers import answer, returns
from suanli.api.limits import TooManyRequests
from suanli.api.request import Actor, Here
from suanli.domain.errors import UsageError
from suanli.domain.model import (
    Evaluation,
    Lineage,
    ModelFile,
    ModelVersion,
    Reference,
    check_alias,
    check_name,
    check_tags,
)
from suanli.models.ranges import byte_range
from suanli.models.registry import Begun, Collected
from suanli.models.uploads import Manifest
from suanli.ports.model_index import Alias, Change, no_model

router = APIRouter(prefix="/v1/models", tags=["models"])
log = structlog.get_logger("suanli.api")

PIECES_AT_ONCE = 8
PIECE_S = 60.0
ROOM_S = 20.0
AGAIN_S = 5.0
READ_BYTES = 2**18
MANIFEST_FILES_MAX = 2000
METRICS_MAX = 200

Name = Annotated[str, Path(max_length=100, description="A model's name.")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
AliasName = Annotated[str, Path(max_length=100)]
UploadId = Annotated[str, Path(max_length=100)]
Word = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Figure = Annotated[float, Field(allow_inf_nan=False)]

_pieces = asyncio.Semaphore(PIECES_AT_ONCE)
"""Of 8 MiB each, so that 512 connections do not hold 4 GiB between them."""


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """Versions by name and number, and what aliases name."""

    versions: tuple[ModelVersion, ...]
    aliases: tuple[Alias, ...]


class ModelAnswer(Models, frozen=True, kw_only=True):
    """One model, and the latest of who did what to it."""

    changes: tuple[Change, ...]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """How far the file is."""

    offset: int


class Done(msgspec.Struct, frozen=True):
    """There is nothing more to say."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PromisedFile(_Body):
    path: Annotated[str, Field(max_length=1000)]
    size_bytes: Annotated[int, Field(ge=0, le=2**53)]
    sha256: Annotated[str, Field(max_length=100)]


class Origin(_Body):
    """Where the version comes from."""

    job: Word = ""
    parent: Word = ""
    how: Word = ""
    data: Word = ""
    git_commit: Word = ""


class Beginning(_Body):
    """What an upload shall become. `code`: programs among the files are meant to be there."""

    files: list[PromisedFile] = Field(min_length=1, max_length=MANIFEST_FILES_MAX)
    task: Word = ""
    tags: dict[str, str] = Field(default={}, max_length=100)
    lineage: Origin = Origin()
    code: bool = False


class Naming(_Body):
    """A version by number, or what another alias names; `expected` is what the alias names now, 0 for nothing."""

    number: Count | None = None
    same_as: Annotated[str, Field(max_length=100)] = ""
    expected: Count | None = None

    @model_validator(mode="after")
    def _one(self) -> "Naming":
        if (self.number is None) == (not self.same_as) or (self.same_as and self.expected is not None):
            raise ValueError("give number, with or without expected, or same_as")
        return self


class Tagging(_Body):
    """Tags to set, and with null to take away."""

    tags: dict[str, str | None] = Field(max_length=100)


class Evaluating(_Body):
    suite: Annotated[str, Field(min_length=1, max_length=200)]
    metrics: dict[str, Figure] = Field(min_length=1, max_length=METRICS_MAX)


@router.get("", responses=returns(Models, "All of the registry."))
def models(here: Here) -> Response:
    index = here.models.index
    return answer(Models(versions=tuple(index.versions()), aliases=tuple(index.aliases())))


@router.post("/-/gc", responses=returns(Collected, "What was removed, or with dry_run would be."))
def collect(here: Here, actor: Actor, dry_run: bool = False) -> Response:
    collected = here.models.collect(dry_run=dry_run)
    log.info("models collected", actor=actor, blobs=collected.blobs, freed_bytes=collected.freed_bytes)
    return answer(collected)


@router.get("/{name}", responses=returns(ModelAnswer, "Its versions, aliases and history."))
def model(name: Name, here: Here) -> Response:
    index = here.models.index
    versions, changes = index.versions(name), index.changes(name)
    if not versions:
        raise no_model(check_name(name))
    aliases = tuple(index.aliases(name))
    return answer(ModelAnswer(versions=tuple(versions), aliases=aliases, changes=tuple(changes)))


@router.get("/{name}/{number}", responses=returns(ModelVersion, "One version."))
def version(name: Name, number: Number, here: Here) -> Response:
    return answer(here.models.index.version(Reference(name=name, number=number)))


@router.delete(
    "/{name}/{number}", responses=returns(Done, "It is gone; its files go with the next collection.")
)
def delete(name: Name, number: Number, here: Here, actor: Actor) -> Response:
    here.models.delete(name, number, actor=actor, used=here.models_in_use())
    return answer(Done())


@router.patch("/{name}/{number}/tags", responses=returns(ModelVersion, "The version with its tags."))
def tag(name: Name, number: Number, tagging: Tagging, here: Here, actor: Actor) -> Response:
    check_tags({key: value or "" for key, value in tagging.tags.items()})
    return answer(here.models.index.tag(name, number, tagging.tags, here.models.by(actor)))


@router.post(
    "/{name}/{number}/evaluations", responses=returns(ModelVersion, "The version with its evaluations.")
)
def evaluate(name: Name, number: Number, evaluating: Evaluating, here: Here, actor: Actor) -> Response:
    by = here.models.by(actor)
    kept = Evaluation(suite=evaluating.suite, metrics=evaluating.metrics, at_s=by.at_s, actor=by.actor)
    return answer(here.models.index.add_evaluation(name, number, kept))


@router.put("/{name}/aliases/{alias}", responses=returns(Alias, "What the alias names now."))
def set_alias(name: Name, alias: AliasName, naming: Naming, here: Here, actor: Actor) -> Response:
    index, by = here.models.index, here.models.by(actor)
    check_alias(alias)
    if naming.same_as:
        return answer(index.copy_alias(name, naming.same_as, alias, by))
    asked = Alias(name=name, alias=alias, number=naming.number or 0)
    return answer(index.set_alias(asked, by, expected=naming.expected))


@router.post("/{name}/aliases/{alias}/rollback", responses=returns(Alias, "What the alias names again."))
def roll_back(name: Name, alias: AliasName, here: Here, actor: Actor) -> Response:
    return answer(here.models.index.roll_back(name, alias, here.models.by(actor)))


@router.delete("/{name}/aliases/{alias}", responses=returns(Done, "The alias names nothing any more."))
def drop_alias(name: Name, alias: AliasName, here: Here, actor: Actor) -> Response:
    here.models.index.drop_alias(name, alias, here.models.by(actor))
    return answer(Done())


@router.post("/{name}/uploads", responses=returns(Begun, "What is still to be sent."))
def begin(name: Name, beginning: Beginning, here: Here, actor: Actor) -> Response:
    manifest = Manifest(
        name=name,
        files=tuple(ModelFile(**file.model_dump()) for file in beginning.files),
        task=beginning.task,
        tags=beginning.tags,
        lineage=Lineage(**beginning.lineage.model_dump()),
        code=beginning.code,
        actor=actor,
    )
    return answer(here.models.begin(manifest))


@router.put(
    "/{name}/uploads/{upload}/{sha256}",
    responses=returns(Written, "How far the file is now."),
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}, "required": True}},
)
async def write(
    name: Name,
    upload: UploadId,
    sha256: Annotated[str, Path(max_length=100)],
    request: Request,
    here: Here,
    actor: Actor,
    offset: Annotated[int, Query(ge=0, le=2**62, description="In bytes: where the piece begins.")],
) -> Response:
    async with _room_for_a_piece():
        piece = await _piece(request)
        written = await run_in_threadpool(here.models.write, name, upload, sha256, offset, piece, actor=actor)
    return answer(Written(offset=written))


@asynccontextmanager
async def _room_for_a_piece() -> AsyncIterator[None]:
    """Raises TooManyRequests where there is none for too long."""
    try:
        async with asyncio.timeout(ROOM_S):
            await _pieces.acquire()
    except TimeoutError:
        raise TooManyRequests(AGAIN_S) from None
    try:
        yield
    finally:
        _pieces.release()


async def _piece(request: Request) -> bytes:
    """Raises UsageError where it does not come, or not in time: nobody holds the room for long."""
    try:
        async with asyncio.timeout(PIECE_S):
            return await request.body()
    except TimeoutError:
        raise UsageError(
            f"The piece did not come within {PIECE_S:g} s.", remedy="Send smaller ones.", code="SL-MODEL-SLOW"
        ) from None
    except ClientDisconnect as error:
        raise UsageError("The piece was broken off.", remedy="Send it again.") from error


@router.post("/{name}/uploads/{upload}/commit", responses=returns(ModelVersion, "The version that it makes."))
def commit(name: Name, upload: UploadId, here: Here, actor: Actor) -> Response:
    return answer(here.models.commit(name, upload, actor=actor))


@router.delete("/{name}/uploads/{upload}", responses=returns(Done, "Nothing of it is left."))
def abandon(name: Name, upload: UploadId, here: Here, actor: Actor) -> Response:
    here.models.abandon(name, upload, actor=actor)
    return answer(Done())


_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "All of the file.", "content": {"application/octet-stream": {}}},
    206: {"description": "The bytes asked for.", "content": {"application/octet-stream": {}}},
}


@router.get("/{name}/{number}/files/{path:path}", responses=_BYTES, response_class=StreamingResponse)
def read(
    name: Name,
    number: Number,
    path: Annotated[str, Path(max_length=1000)],
    here: Here,
    asked: Annotated[str, Header(alias="range", max_length=100, description="`bytes=0-99`, one range.")] = "",
) -> Response:
    file = here.models.file(name, number, path)
    start, end = byte_range(asked, file.size_bytes)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(end - start),
        "Content-Disposition": "attachment",
        "ETag": f'"{file.sha256}"',
    }
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    blob = here.models.blobs.open(file.sha256)
    return StreamingResponse(
        _pieces_of(blob, start, end),
        status_code=206 if asked else 200,
        media_type="application/octet-stream",
        headers=headers,
    )


def _pieces_of(opened: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    with opened:
        opened.seek(start)
        while start < end and (piece := opened.read(min(READ_BYTES, end - start))):
            start += len(piece)
            yield piece
