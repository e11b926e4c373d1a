"""`plan` and `apply`."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from suanli.api.answers import answer, returns
from suanli.api.request import Actor, Here
from suanli.control import requests
from suanli.control.declare import Declared, declare
from suanli.control.once import once
from suanli.control.planning import Plan
from suanli.control.requests import Applied
from suanli.control.snapshot import held
from suanli.control.what_if import WhatIf, changes_of
from suanli.control.wiring import Running
from suanli.policies.registry import parse
from suanli.spec import Problem, Source

router = APIRouter(prefix="/v1", tags=["declarations"])

PolicyName = Annotated[str, Field(max_length=200, description="`order+allocate+place`, or parts of it.")]


class SourceText(BaseModel):
    """A file's text. `folder`, absolute, is what a relative `workdir` in it starts from."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=4096)
    text: str
    folder: str = Field(default="", max_length=4096)


class Asking(BaseModel):
    """Declarations, with `a.b=c` overrides. `policy` is tried instead of the current one, or chosen by `apply`."""

    model_config = ConfigDict(extra="forbid")

    sources: list[SourceText] = Field(default=[], max_length=100)
    overrides: list[str] = Field(default=[], max_length=100)
    policy: PolicyName = ""


class Planning(Asking):
    """Declarations, and changes with which things would go on differently."""

    what_if: list[Annotated[str, Field(max_length=1000)]] = Field(default=[], max_length=20)


class Applying(Asking):
    """Declarations, or the id of a plan that was shown."""

    plan_id: str = Field(default="", max_length=100)

    @model_validator(mode="after")
    def _one_of_both(self) -> "Applying":
        if bool(self.plan_id) == bool(self.sources):
            raise ValueError("give either sources or a plan_id")
        if self.plan_id and (self.overrides or self.policy):
            raise ValueError("a plan is applied as it was shown, without overrides or another policy")
        return self


class PlanAnswer(Plan, frozen=True, kw_only=True):
    """A plan, what in the declarations is allowed but seldom meant, and what would come of changes."""

    warnings: tuple[Problem, ...] = ()
    what_if: WhatIf | None = None


class AppliedAnswer(Applied, frozen=True, kw_only=True):
    """What became of an apply, and what in the declarations is allowed but seldom meant."""

    warnings: tuple[Problem, ...] = ()


@router.post("/plan", responses=returns(PlanAnswer, "What would happen. Nothing has changed."))
def plan(planning: Planning, here: Here) -> Response:
    declared = _declared(here, planning)
    with held(here.controller):
        shown = requests.make_plan(here.controller, declared.asked, policy=planning.policy)
    told = _what_if(here, planning, declared) if planning.what_if else None
    return answer(PlanAnswer(**msgspec.structs.asdict(shown), warnings=declared.warnings, what_if=told))


def _what_if(here: Running, planning: Planning, declared: Declared) -> WhatIf:
    changes = changes_of(planning.what_if)
    overrides = [*planning.overrides, *changes.overrides]
    then = _declared(here, planning.model_copy(update={"overrides": overrides}))
    return requests.what_if(here.controller, declared.asked, then.asked, planning.policy, changes)


@router.post("/apply", responses=returns(AppliedAnswer, "What was accepted, and what is there already."))
def apply(
    applying: Applying,
    here: Here,
    actor: Actor,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    key = f"{actor}:{idempotency_key}" if idempotency_key else ""
    store, now_s = here.controller.ports.store, here.controller.ports.clock.now_s()
    sent = applying.model_dump_json().encode()
    do = _planned(here, applying, actor, key) if applying.plan_id else _asked(here, applying, actor, key)
    with held(here.controller):
        return answer(once(store, key, sent, now_s, AppliedAnswer, do))


def _planned(here: Running, applying: Applying, actor: str, key: str) -> Callable[[], AppliedAnswer]:
    def do() -> AppliedAnswer:
        done = requests.apply_plan(here.controller, applying.plan_id, actor=actor, idempotency_key=key)
        return AppliedAnswer(**msgspec.structs.asdict(done))

    return do


def _asked(here: Running, applying: Applying, actor: str, key: str) -> Callable[[], AppliedAnswer]:
    policy = parse(applying.policy).name if applying.policy else ""
    declared = _declared(here, applying)

    def do() -> AppliedAnswer:
        done = requests.apply(here.controller, declared.asked, actor=actor, idempotency_key=key)
        if policy:
            requests.choose_policy(here.controller, policy, actor=actor)
        return AppliedAnswer(**msgspec.structs.asdict(done), warnings=declared.warnings)

    return do


def _declared(here: Running, asking: Asking) -> Declared:
    """Read without the mutex: a megabyte of YAML must not keep the loop waiting."""
    with held(here.controller):
        known = {record.name for record in here.controller.world.records.values()}
    return declare(
        [Source(source.name, source.text, source.folder) for source in asking.sources],
        now_s=here.controller.ports.clock.now_s(),
        overrides=asking.overrides,
        known=known,
        accelerators=requests.kept_accelerators(here.controller.ports.store),
    )
