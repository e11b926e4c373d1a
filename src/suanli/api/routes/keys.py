"""API keys of services' clients, and what they used."""

import enum
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from suanli.api.answers import answer, returns
from suanli.api.request import Actor, Here
from suanli.control import keys as kept
from suanli.control.keys import KeyRecord
from suanli.control.snapshot import held
from suanli.control.usage import GATEWAY, Usage, collect_usage, usage_of

router = APIRouter(prefix="/v1", tags=["keys"])

DAYS_TOLD = 30.0

KeyName = Annotated[str, Path(max_length=100)]
Limit = Annotated[float, Field(gt=0, le=kept.RATE_MAX, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=10 * 365 * 86400.0, allow_inf_nan=False)]


class Period(enum.StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


PERIODS_S = {Period.HOUR: 3600.0, Period.DAY: 86400.0, Period.WEEK: 7 * 86400.0, Period.MONTH: 30 * 86400.0}


class KeyTerms(BaseModel):
    """What a key may; of a change only what is there counts. null is no limit, or never."""

    model_config = ConfigDict(extra="forbid")

    team: str = Field(default="default", min_length=1, max_length=100)
    services: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default=["*"], min_length=1, max_length=kept.SERVICES_MAX
    )
    requests_per_s: Limit | None = None
    tokens_per_min: Limit | None = None
    budget_usd: Limit | None = None
    budget_period_s: Seconds = 30 * 86400.0
    expires_in_s: Seconds | None = None

    def given(self, now_s: float) -> dict[str, Any]:
        """As fields of a key."""
        terms = self.model_dump(exclude_unset=True, exclude={"name"})
        if "services" in terms:
            terms["services"] = tuple(terms["services"])
        if "expires_in_s" in terms:
            in_s = terms.pop("expires_in_s")
            terms["expires_s"] = None if in_s is None else now_s + in_s
        return terms


class KeyMaking(KeyTerms):
    name: str = Field(max_length=100)


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """`state` is active, expired or revoked. `hint` is how the secret begins; nobody knows the rest."""

    name: str
    state: str
    team: str
    services: tuple[str, ...]
    requests_per_s: float | None
    tokens_per_min: float | None
    budget_usd: float | None
    budget_period_s: float
    expires_s: float | None
    hint: str
    made_s: float
    made_by: str
    changed_s: float
    changed_by: str


class KeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """`secret` is told this once."""

    key: KeyView
    secret: str


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    keys: tuple[KeyView, ...]


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    usage: tuple[Usage, ...]


@router.post("/keys", responses=returns(KeyMade, "The key, and its secret, which is told this once."))
def make(making: KeyMaking, here: Here, actor: Actor) -> Response:
    store, now_s = here.controller.ports.store, here.controller.ports.clock.now_s()
    with held(here.controller):
        secret, record = kept.make_key(store, making.name, making.given(now_s), actor=actor, now_s=now_s)
    return answer(KeyMade(key=_view(record, now_s), secret=secret))


@router.get("/keys", responses=returns(KeyList, "All there ever were, by name."))
def keys(here: Here) -> Response:
    now_s = here.controller.ports.clock.now_s()
    records = kept.key_records(here.controller.ports.store)
    return answer(KeyList(keys=tuple(_view(record, now_s) for record in records)))


@router.get("/keys/{name}", responses=returns(KeyView, "One key."))
def key(name: KeyName, here: Here) -> Response:
    record = kept.key_record(here.controller.ports.store, name)
    return answer(_view(record, here.controller.ports.clock.now_s()))


@router.patch("/keys/{name}", responses=returns(KeyView, "As it is now; gateways follow within a second."))
def change(name: KeyName, terms: KeyTerms, here: Here, actor: Actor) -> Response:
    store, now_s = here.controller.ports.store, here.controller.ports.clock.now_s()
    with held(here.controller):
        record = kept.change_key(store, name, terms.given(now_s), actor=actor, now_s=now_s)
    return answer(_view(record, now_s))


@router.post("/keys/{name}/revoke", responses=returns(KeyView, "It opens nothing any more."))
def revoke(name: KeyName, here: Here, actor: Actor) -> Response:
    store, now_s = here.controller.ports.store, here.controller.ports.clock.now_s()
    with held(here.controller):
        record = kept.revoke_key(store, name, actor=actor, now_s=now_s)
    return answer(_view(record, now_s))


@router.get("/usage", responses=returns(UsageAnswer, "By period, key and service, oldest first."))
def usage(
    here: Here,
    key: Annotated[str, Query(max_length=100, description="Of this key only.")] = "",
    period: Annotated[Period, Query(description="Sums of what length.")] = Period.DAY,
    days: Annotated[float, Query(gt=0, le=400, description="So far back.")] = DAYS_TOLD,
) -> Response:
    """What gateways have told, up to a few seconds ago."""
    store, now_s = here.controller.ports.store, here.controller.ports.clock.now_s()
    if key:
        kept.key_record(store, key)
    with held(here.controller):
        collect_usage(store, here.home.gateway, GATEWAY, now_s)
    told = usage_of(store, since_s=now_s - days * 86400.0, until_s=now_s, period_s=PERIODS_S[period], key=key)
    return answer(UsageAnswer(usage=told))


def _view(record: KeyRecord, now_s: float) -> KeyView:
    key = record.key
    state = "active" if record.is_valid(now_s) else "revoked" if record.revoked_s is not None else "expired"
    return KeyView(
        name=key.name,
        state=state,
        team=key.team,
        services=key.services,
        requests_per_s=key.requests_per_s,
        tokens_per_min=key.tokens_per_min,
        budget_usd=key.budget_usd,
        budget_period_s=key.budget_period_s,
        expires_s=key.expires_s,
        hint=record.hint,
        made_s=record.made_s,
        made_by=record.made_by,
        changed_s=record.changed_s,
        changed_by=record.changed_by,
    )
