"""`ports.model_index.ModelIndex` on the store's database. Each method is one transaction."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import msgspec
import sqlalchemy as sa

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
from suanli.store import codec, sql_models
from suanli.store.database import Database

VERSION = msgspec.json.Decoder(ModelVersion)


class SqlModelIndex:
    """Versions and aliases beside the event log; `writing` is a transaction that no other writer overlaps."""

    def __init__(
        self, database: Database, writing: Callable[[], AbstractContextManager[tuple[sa.Connection, int]]]
    ) -> None:
        self._database = database
        self._writing = writing

    def add(self, version: ModelVersion) -> ModelVersion:
        with self._writing() as (connection, _):
            same = sql_models.select_same(connection, version.name, version.digest)
            if same is not None:
                return VERSION.decode(same)
            number = sql_models.next_number(connection, version.name)
            added = msgspec.structs.replace(version, number=number)
            row = {"name": version.name, "number": number, "digest": version.digest, "body": _text(added)}
            sql_models.insert_version(connection, row)
            _note(connection, version.name, Act.PUSHED, By(version.actor, version.created_s), number)
            return added

    def version(self, reference: Reference) -> ModelVersion:
        with self._database.reading() as connection:
            return _find(connection, reference)

    def versions(self, name: str = "") -> Sequence[ModelVersion]:
        with self._database.reading() as connection:
            bodies = sql_models.select_versions(connection, name)
        return [VERSION.decode(body) for body in bodies]

    def aliases(self, name: str = "") -> Sequence[Alias]:
        with self._database.reading() as connection:
            rows = sql_models.select_aliases(connection, name)
        return [Alias(name=row.name, alias=row.alias, number=row.number) for row in rows]

    def changes(self, name: str, limit: int = 100) -> Sequence[Change]:
        with self._database.reading() as connection:
            rows = sql_models.select_changes(connection, name, limit)
        return [
            Change(
                name=row.name,
                act=Act(row.act),
                actor=row.actor,
                at_s=row.at_s,
                number=row.number,
                alias=row.alias,
                former=row.former,
            )
            for row in rows
        ]

    def set_alias(self, alias: Alias, by: By, *, expected: int | None = None) -> Alias:
        with self._writing() as (connection, _):
            return _set_alias(connection, alias, by, expected)

    def copy_alias(self, name: str, source: str, target: str, by: By) -> Alias:
        with self._writing() as (connection, _):
            number = _find(connection, Reference(name=name, alias=source)).number
            return _set_alias(connection, Alias(name=name, alias=target, number=number), by, None)

    def roll_back(self, name: str, alias: str, by: By) -> Alias:
        with self._writing() as (connection, _):
            current = _find(connection, Reference(name=name, alias=alias)).number
            way = sql_models.select_way_back(connection, name, alias, current)
            if way is None:
                raise no_way_back(name, alias)
            seq, number = way
            sql_models.bar_ways_back(connection, name, alias, seq)
            sql_models.save_alias(connection, name, alias, number)
            _note(connection, name, Act.ROLLED_BACK, by, number, alias, current)
            return Alias(name=name, alias=alias, number=number)

    def drop_alias(self, name: str, alias: str, by: By) -> None:
        with self._writing() as (connection, _):
            current = _find(connection, Reference(name=name, alias=alias)).number
            sql_models.delete_alias(connection, name, alias)
            sql_models.bar_ways_back(connection, name, alias)
            _note(connection, name, Act.UNALIASED, by, None, alias, current)

    def tag(self, name: str, number: int, tags: Mapping[str, str | None], by: By) -> ModelVersion:
        with self._writing() as (connection, _):
            version = _find(connection, Reference(name=name, number=number))
            merged = {key: value for key, value in {**version.tags, **tags}.items() if value is not None}
            changed = msgspec.structs.replace(version, tags=check_tags(merged))
            sql_models.update_version(connection, name, number, _text(changed))
            _note(connection, name, Act.TAGGED, by, number)
            return changed

    def add_evaluation(self, name: str, number: int, evaluation: Evaluation) -> ModelVersion:
        with self._writing() as (connection, _):
            version = _find(connection, Reference(name=name, number=number))
            kept = (*version.evaluations, evaluation)[-EVALUATIONS_KEPT:]
            changed = msgspec.structs.replace(version, evaluations=kept)
            sql_models.update_version(connection, name, number, _text(changed))
            _note(connection, name, Act.EVALUATED, By(evaluation.actor, evaluation.at_s), number)
            return changed

    def delete(self, name: str, number: int, by: By) -> None:
        with self._writing() as (connection, _):
            _find(connection, Reference(name=name, number=number))
            rows = sql_models.select_aliases(connection, name)
            naming = [row.alias for row in rows if row.number == number]
            if naming:
                raise named_by(name, number, naming)
            sql_models.delete_version(connection, name, number)
            _note(connection, name, Act.DELETED, by, number)


def _find(connection: sa.Connection, reference: Reference) -> ModelVersion:
    name, number = reference.name, reference.number
    if reference.alias:
        number = sql_models.select_alias(connection, name, reference.alias)
        body = None if number is None else sql_models.select_version(connection, name, number)
    elif number is None:
        body = sql_models.select_newest(connection, name)
    else:
        body = sql_models.select_version(connection, name, number)
    if body is None:
        exists = sql_models.select_newest(connection, name) is not None
        raise no_version(reference) if exists else no_model(name)
    return VERSION.decode(body)


def _set_alias(connection: sa.Connection, alias: Alias, by: By, expected: int | None) -> Alias:
    _find(connection, Reference(name=alias.name, number=alias.number))
    current = sql_models.select_alias(connection, alias.name, alias.alias)
    if expected is not None and expected != (current or 0):
        raise alias_moved(alias, expected, current)
    if current != alias.number:
        sql_models.save_alias(connection, alias.name, alias.alias, alias.number)
        _note(connection, alias.name, Act.ALIASED, by, alias.number, alias.alias, current)
    return alias


def _note(
    connection: sa.Connection,
    name: str,
    act: Act,
    by: By,
    number: int | None,
    alias: str = "",
    former: int | None = None,
) -> None:
    row = {
        "name": name,
        "act": act.value,
        "actor": by.actor,
        "at_s": by.at_s,
        "number": number,
        "alias": alias,
        "former": former,
        "returnable": act is Act.ALIASED,
    }
    sql_models.append_change(connection, row)


def _text(version: ModelVersion) -> str:
    return codec.to_text(version, VERSION)
