"""The registry of models: what there is, and what may be done with it but sending and reading files."""

from typing import Annotated

import msgspec
import structlog
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from suanli.api.answers import answer, returns
from suanli.api.request import Actor, Here
from suanli.control.models import in_use
from suanli.control.snapshot import take
from suanli.domain.model import Evaluation, ModelVersion, Reference, check_alias, check_name, check_tags
from suanli.models.registry import Collected
from suanli.ports.model_index import Alias, Change, no_model

router = APIRouter(prefix="/v1/models", tags=["models"])
log = structlog.get_logger("suanli.api")

METRICS_MAX = 200

Name = Annotated[str, Path(max_length=100, description="A model's name.")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
AliasName = Annotated[str, Path(max_length=100)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Figure = Annotated[float, Field(allow_inf_nan=False)]


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """Versions by name and number, and what aliases name."""

    versions: tuple[ModelVersion, ...]
    aliases: tuple[Alias, ...]


class ModelAnswer(Models, frozen=True, kw_only=True):
    """One model, and the latest of who did what to it."""

    changes: tuple[Change, ...]


class Done(msgspec.Struct, frozen=True):
    """There is nothing more to say."""


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Naming(Body):
    """A version by number, or what another alias names; `expected` is what the alias names now, 0 for nothing."""

    number: Count | None = None
    same_as: Annotated[str, Field(max_length=100)] = ""
    expected: Count | None = None

    @model_validator(mode="after")
    def _one(self) -> "Naming":
        if (self.number is None) == (not self.same_as) or (self.same_as and self.expected is not None):
            raise ValueError("give number, with or without expected, or same_as")
        return self


class Tagging(Body):
    """Tags to set, and with null to take away."""

    tags: dict[str, str | None] = Field(max_length=100)


class Evaluating(Body):
    suite: Annotated[str, Field(min_length=1, max_length=200)]
    metrics: dict[str, Figure] = Field(min_length=1, max_length=METRICS_MAX)
    data_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    samples: Annotated[int, Field(ge=0, le=2**53)] = 0
    seed: Annotated[int, Field(ge=0, le=2**53)] = 0
    intervals: dict[str, tuple[Figure, Figure]] = Field(default={}, max_length=METRICS_MAX)
    against: Annotated[str, Field(max_length=200)] = ""
    how: Annotated[str, Field(max_length=200)] = ""


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
    here.models.delete(name, number, actor=actor, used=in_use(take(here.controller).world))
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
    kept = Evaluation(**evaluating.model_dump(), at_s=by.at_s, actor=by.actor)
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
