"""Which models there are: their versions, what aliases name, and who changed what. The files lie elsewhere."""

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from suanli.domain.errors import Conflict, NotFound
from suanli.domain.model import Evaluation, ModelVersion, Reference


class Act(enum.Enum):
    """What somebody did to a model."""

    PUSHED = "pushed"
    ALIASED = "aliased"
    ROLLED_BACK = "rolled back"
    UNALIASED = "unaliased"
    TAGGED = "tagged"
    EVALUATED = "evaluated"
    DELETED = "deleted"


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A name for a version that may move to another one."""

    name: str
    alias: str
    number: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to which version, and when. Of an alias: `former` is the number that it named before."""

    name: str
    act: Act
    actor: str
    at_s: float
    number: int | None = None
    alias: str = ""
    former: int | None = None


class By(msgspec.Struct, frozen=True):
    """Who changes something, and when."""

    actor: str
    at_s: float


class ModelIndex(Protocol):
    """Each method is one transaction. Raises NotFound for versions, aliases and models that are not there."""

    def add(self, version: ModelVersion) -> ModelVersion:
        """The version with its number, one more than the highest that this name ever had.

        Where this name has a version of that digest already: that one, and nothing changes.
        """
        ...

    def version(self, reference: Reference) -> ModelVersion: ...

    def versions(self, name: str = "") -> Sequence[ModelVersion]:
        """Of one model, or of all; by name, then number. Empty where there are none."""
        ...

    def aliases(self, name: str = "") -> Sequence[Alias]:
        """Of one model, or of all; by name, then alias."""
        ...

    def changes(self, name: str, limit: int = 100) -> Sequence[Change]:
        """The latest of a model, oldest first; those of its deleted versions too."""
        ...

    def set_alias(self, alias: Alias, by: By, *, expected: int | None = None) -> Alias:
        """Let the alias name that version; naming the same one again changes nothing.

        `expected` set: raises Conflict unless the alias names that version now (0: none).
        """
        ...

    def copy_alias(self, name: str, source: str, target: str, by: By) -> Alias:
        """Let `target` name what `source` names, read in the same transaction."""
        ...

    def roll_back(self, name: str, alias: str, by: By) -> Alias:
        """Let the alias name what it named before; again: what it named before that.

        Versions that were deleted since are passed over. Raises Conflict where nothing is left to go back to.
        """
        ...

    def drop_alias(self, name: str, alias: str, by: By) -> None:
        """The alias names nothing any more, and has no past."""
        ...

    def tag(self, name: str, number: int, tags: Mapping[str, str | None], by: By) -> ModelVersion:
        """Set tags; None takes one away."""
        ...

    def add_evaluation(self, name: str, number: int, evaluation: Evaluation) -> ModelVersion:
        """Keep it beside the earlier ones, of which the latest are kept."""
        ...

    def delete(self, name: str, number: int, by: By) -> None:
        """Take the version away. Raises Conflict while an alias names it."""
        ...


def no_model(name: str) -> NotFound:
    return NotFound(
        f"There is no model {name}.", remedy="`suanli models list` shows what there is.", code="SL-NO-MODEL"
    )


def no_version(reference: Reference) -> NotFound:
    return NotFound(
        f"There is no model version {reference}.",
        remedy=f"`suanli models show {reference.name}` shows its versions and aliases.",
        code="SL-NO-MODEL",
    )


def alias_moved(alias: Alias, expected: int, current: int | None) -> Conflict:
    return Conflict(
        f"{alias.name}@{alias.alias} does not name version {expected or 'none'} any more.",
        remedy="Look at what it names now (`suanli models show`), and decide anew.",
        evidence={"expected": expected, "current": current or 0},
        code="SL-MODEL-ALIAS-MOVED",
    )


def no_way_back(name: str, alias: str) -> Conflict:
    return Conflict(
        f"{name}@{alias} named no other version before that is still there.",
        remedy=f"Name a version yourself: `suanli models alias {name}/N {alias}`.",
        code="SL-MODEL-NO-FORMER",
    )


def named_by(name: str, number: int, aliases: Sequence[str]) -> Conflict:
    return Conflict(
        f"{name}/{number} is what {', '.join(f'{name}@{alias}' for alias in aliases)} names.",
        remedy=f"Move the alias first, or take it away: `suanli models unalias {name}@{aliases[0]}`.",
        evidence={"aliases": list(aliases)},
        code="SL-MODEL-ALIASED",
    )
