"""The index of models in memory, for tests and simulations."""

import threading
from collections.abc import Mapping, Sequence

import msgspec

from suanli.domain.model import EVALUATIONS_KEPT, Evaluation, ModelVersion, Reference, check_tags
from suanli.ports.model_index import (
    Act,
    Alias,
    By,
    Change,
    alias_moved,
    named_by,
    no_model,
    no_version,
    no_way_back,
)


class MemoryModelIndex:
    """`ports.model_index.ModelIndex` in dicts; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._last: dict[str, int] = {}
        self._versions: dict[tuple[str, int], ModelVersion] = {}
        self._aliases: dict[tuple[str, str], int] = {}
        self._past: dict[tuple[str, str], list[int]] = {}
        self._changes: list[Change] = []

    def clone(self) -> "MemoryModelIndex":
        """An index of its own that holds the same."""
        other = MemoryModelIndex()
        with self._lock:
            other._last, other._versions = self._last.copy(), self._versions.copy()
            other._aliases, other._changes = self._aliases.copy(), self._changes.copy()
            other._past = {key: past.copy() for key, past in self._past.items()}
        return other

    def add(self, version: ModelVersion) -> ModelVersion:
        with self._lock:
            for known in self.versions(version.name):
                if known.digest == version.digest:
                    return known
            number = self._last.get(version.name, 0) + 1
            added = msgspec.structs.replace(version, number=number)
            self._last[version.name] = number
            self._versions[version.name, number] = added
            self._note(version.name, Act.PUSHED, By(version.actor, version.created_s), number)
            return added

    def version(self, reference: Reference) -> ModelVersion:
        with self._lock:
            number = reference.number
            if reference.alias:
                number = self._aliases.get((reference.name, reference.alias))
            elif number is None:
                number = max((v.number for v in self.versions(reference.name)), default=None)
            found = self._versions.get((reference.name, number or 0))
            if found is None:
                raise no_version(reference) if self.versions(reference.name) else no_model(reference.name)
            return found

    def versions(self, name: str = "") -> Sequence[ModelVersion]:
        with self._lock:
            return [self._versions[key] for key in sorted(self._versions) if not name or key[0] == name]

    def aliases(self, name: str = "") -> Sequence[Alias]:
        with self._lock:
            return [
                Alias(name=model, alias=alias, number=number)
                for (model, alias), number in sorted(self._aliases.items())
                if not name or model == name
            ]

    def changes(self, name: str, limit: int = 100) -> Sequence[Change]:
        with self._lock:
            found = [change for change in self._changes if change.name == name]
            return found[-limit:] if limit else []

    def set_alias(self, alias: Alias, by: By, *, expected: int | None = None) -> Alias:
        with self._lock:
            self.version(Reference(name=alias.name, number=alias.number))
            key = (alias.name, alias.alias)
            current = self._aliases.get(key)
            if expected is not None and expected != (current or 0):
                raise alias_moved(alias, expected, current)
            if current == alias.number:
                return alias
            self._aliases[key] = alias.number
            if current is not None:
                self._past.setdefault(key, []).append(current)
            self._note(alias.name, Act.ALIASED, by, alias.number, alias.alias, current)
            return alias

    def copy_alias(self, name: str, source: str, target: str, by: By) -> Alias:
        with self._lock:
            number = self.version(Reference(name=name, alias=source)).number
            return self.set_alias(Alias(name=name, alias=target, number=number), by)

    def roll_back(self, name: str, alias: str, by: By) -> Alias:
        with self._lock:
            current = self.version(Reference(name=name, alias=alias)).number
            past = self._past.get((name, alias), [])
            gone = len(past)
            while gone and ((name, past[gone - 1]) not in self._versions or past[gone - 1] == current):
                gone -= 1
            if not gone:
                raise no_way_back(name, alias)
            number = past[gone - 1]
            del past[gone - 1 :]
            self._aliases[name, alias] = number
            self._note(name, Act.ROLLED_BACK, by, number, alias, current)
            return Alias(name=name, alias=alias, number=number)

    def drop_alias(self, name: str, alias: str, by: By) -> None:
        with self._lock:
            current = self.version(Reference(name=name, alias=alias)).number
            del self._aliases[name, alias]
            self._past.pop((name, alias), None)
            self._note(name, Act.UNALIASED, by, None, alias, current)

    def tag(self, name: str, number: int, tags: Mapping[str, str | None], by: By) -> ModelVersion:
        with self._lock:
            version = self.version(Reference(name=name, number=number))
            merged = {key: value for key, value in {**version.tags, **tags}.items() if value is not None}
            changed = msgspec.structs.replace(version, tags=check_tags(merged))
            self._versions[name, number] = changed
            self._note(name, Act.TAGGED, by, number)
            return changed

    def add_evaluation(self, name: str, number: int, evaluation: Evaluation) -> ModelVersion:
        with self._lock:
            version = self.version(Reference(name=name, number=number))
            kept = (*version.evaluations, evaluation)[-EVALUATIONS_KEPT:]
            changed = msgspec.structs.replace(version, evaluations=kept)
            self._versions[name, number] = changed
            self._note(name, Act.EVALUATED, By(evaluation.actor, evaluation.at_s), number)
            return changed

    def delete(self, name: str, number: int, by: By) -> None:
        with self._lock:
            self.version(Reference(name=name, number=number))
            naming = [alias.alias for alias in self.aliases(name) if alias.number == number]
            if naming:
                raise named_by(name, number, naming)
            del self._versions[name, number]
            self._note(name, Act.DELETED, by, number)

    def _note(
        self,
        name: str,
        act: Act,
        by: By,
        number: int | None,
        alias: str = "",
        former: int | None = None,
    ) -> None:
        self._changes.append(
            Change(
                name=name, act=act, actor=by.actor, at_s=by.at_s, number=number, alias=alias, former=former
            )
        )
