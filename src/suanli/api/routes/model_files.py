"""Files of models on their way in, piece by piece, and out, by range."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, BinaryIO

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.requests import ClientDisconnect

from suanli.api.answers import answer, returns
from suanli.api.limits import TooManyRequests
from suanli.api.request import Actor, Here
from suanli.api.routes.models import Body, Done, Name, Number
from suanli.domain.errors import UsageError
from suanli.domain.model import Lineage, ModelFile, ModelVersion
from suanli.models.ranges import byte_range
from suanli.models.registry import Begun
from suanli.models.uploads import Manifest

router = APIRouter(prefix="/v1/models", tags=["models"])

PIECES_AT_ONCE = 8
"""Of 8 MiB each, so that 512 connections do not hold 4 GiB between them."""

PIECE_S = 60.0
ROOM_S = 20.0
AGAIN_S = 5.0
READ_BYTES = 2**18
MANIFEST_FILES_MAX = 2000

UploadId = Annotated[str, Path(max_length=100)]
Word = Annotated[str, Field(max_length=1000)]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """How far the file is."""

    offset: int


class PromisedFile(Body):
    path: Annotated[str, Field(max_length=1000)]
    size_bytes: Annotated[int, Field(ge=0, le=2**53)]
    sha256: Annotated[str, Field(max_length=100)]


class Origin(Body):
    """Where the version comes from."""

    job: Word = ""
    parent: Word = ""
    how: Word = ""
    data: Word = ""
    git_commit: Word = ""


class Beginning(Body):
    """What an upload shall become. `code`: programs among the files are meant to be there."""

    files: list[PromisedFile] = Field(min_length=1, max_length=MANIFEST_FILES_MAX)
    task: Word = ""
    tags: dict[str, str] = Field(default={}, max_length=100)
    lineage: Origin = Origin()
    code: bool = False


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
    async with _room_for_a_piece(request.app.state.pieces):
        piece = await _piece(request)
        written = await run_in_threadpool(here.models.write, name, upload, sha256, offset, piece, actor=actor)
    return answer(Written(offset=written))


@asynccontextmanager
async def _room_for_a_piece(pieces: asyncio.Semaphore) -> AsyncIterator[None]:
    """Raises TooManyRequests where there is none for too long."""
    try:
        async with asyncio.timeout(ROOM_S):
            await pieces.acquire()
    except TimeoutError:
        raise TooManyRequests(AGAIN_S) from None
    try:
        yield
    finally:
        pieces.release()


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
