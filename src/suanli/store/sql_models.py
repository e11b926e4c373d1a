"""The tables and statements of the index of models; the rest is in `sql.py`. Inside the caller's transaction."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from suanli.store.sql import Row, tables

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")

models = sa.Table(
    "models",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("last_number", sa.Integer, nullable=False),
)
versions = sa.Table(
    "model_versions",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.UniqueConstraint("name", "digest"),
)
aliases = sa.Table(
    "model_aliases",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)
changes = sa.Table(
    "model_changes",
    tables,
    sa.Column("seq", _Number, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at_s", sa.Double, nullable=False),
    sa.Column("number", sa.Integer, nullable=True),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("former", sa.Integer, nullable=True),
    sa.Column("returnable", sa.Boolean, nullable=False),
    sa.Index("ix_model_changes_name", "name", "seq"),
)
"""`returnable`: a rollback of the alias may go back over this one."""


def next_number(connection: sa.Connection, name: str) -> int:
    """One more than this name ever had. Counted for good."""
    former = connection.execute(
        sa.select(models.c.last_number).where(models.c.name == name)
    ).scalar_one_or_none()
    if former is None:
        connection.execute(sa.insert(models), {"name": name, "last_number": 1})
        return 1
    connection.execute(sa.update(models).where(models.c.name == name).values(last_number=former + 1))
    return former + 1


def insert_version(connection: sa.Connection, row: Row) -> None:
    connection.execute(sa.insert(versions), row)


def update_version(connection: sa.Connection, name: str, number: int, body: str) -> None:
    connection.execute(sa.update(versions).where(_is(name, number)).values(body=body))


def delete_version(connection: sa.Connection, name: str, number: int) -> None:
    connection.execute(sa.delete(versions).where(_is(name, number)))


def select_version(connection: sa.Connection, name: str, number: int) -> str | None:
    return connection.execute(sa.select(versions.c.body).where(_is(name, number))).scalar_one_or_none()


def select_newest(connection: sa.Connection, name: str) -> str | None:
    statement = sa.select(versions.c.body).where(versions.c.name == name)
    return connection.execute(statement.order_by(versions.c.number.desc()).limit(1)).scalar_one_or_none()


def select_same(connection: sa.Connection, name: str, digest: str) -> str | None:
    statement = sa.select(versions.c.body).where(versions.c.name == name, versions.c.digest == digest)
    return connection.execute(statement).scalar_one_or_none()


def select_versions(connection: sa.Connection, name: str) -> Sequence[str]:
    statement = sa.select(versions.c.body).order_by(versions.c.name, versions.c.number)
    statement = statement.where(versions.c.name == name) if name else statement
    return connection.execute(statement).scalars().all()


def select_aliases(connection: sa.Connection, name: str) -> Sequence[sa.Row[Any]]:
    statement = sa.select(aliases).order_by(aliases.c.name, aliases.c.alias)
    return connection.execute(statement.where(aliases.c.name == name) if name else statement).all()


def select_alias(connection: sa.Connection, name: str, alias: str) -> int | None:
    statement = sa.select(aliases.c.number).where(aliases.c.name == name, aliases.c.alias == alias)
    return connection.execute(statement).scalar_one_or_none()


def save_alias(connection: sa.Connection, name: str, alias: str, number: int) -> None:
    delete_alias(connection, name, alias)
    connection.execute(sa.insert(aliases), {"name": name, "alias": alias, "number": number})


def delete_alias(connection: sa.Connection, name: str, alias: str) -> None:
    connection.execute(sa.delete(aliases).where(aliases.c.name == name, aliases.c.alias == alias))


def append_change(connection: sa.Connection, row: Row) -> None:
    last = connection.execute(sa.select(sa.func.max(changes.c.seq))).scalar_one()
    connection.execute(sa.insert(changes), {"seq": (last or 0) + 1, **row})


def select_changes(connection: sa.Connection, name: str, limit: int) -> Sequence[sa.Row[Any]]:
    """The latest, oldest first."""
    statement = sa.select(changes).where(changes.c.name == name).order_by(changes.c.seq.desc()).limit(limit)
    return connection.execute(statement).all()[::-1]


def select_way_back(connection: sa.Connection, name: str, alias: str, current: int) -> tuple[int, int] | None:
    """(seq, number) of the latest change of the alias that leads back to another version which is still there."""
    there = sa.exists().where(versions.c.name == name, versions.c.number == changes.c.former)
    statement = sa.select(changes.c.seq, changes.c.former).where(
        _moves(name, alias), changes.c.former.is_not(None), changes.c.former != current, there
    )
    row = connection.execute(statement.order_by(changes.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None else (row[0], row[1])


def bar_ways_back(connection: sa.Connection, name: str, alias: str, from_seq: int = 0) -> None:
    """Changes of the alias from that one on are not gone back over again."""
    statement = sa.update(changes).where(_moves(name, alias), changes.c.seq >= from_seq)
    connection.execute(statement.values(returnable=False))


def _is(name: str, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(versions.c.name == name, versions.c.number == number)


def _moves(name: str, alias: str) -> sa.ColumnElement[bool]:
    return sa.and_(changes.c.name == name, changes.c.alias == alias, changes.c.returnable.is_(True))
