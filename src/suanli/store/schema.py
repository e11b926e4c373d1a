"""Bringing a database to this version's schema."""

from pathlib import Path

import sqlalchemy as sa

from suanli.domain.errors import Unavailable

SCHEMA_VERSION = "0002"
"""The newest migration, told here too so that an up-to-date database opens without importing alembic (0.5 s)."""

MIGRATIONS = Path(__file__).parent / "migrations"

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))


def upgrade(connection: sa.Connection, where: str) -> None:
    """Run what is missing, inside the caller's transaction. Raises Unavailable where the schema is a newer one."""
    version = _version(connection)
    if version == SCHEMA_VERSION:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()}
    if version is not None and version not in known:
        raise Unavailable(
            f"The database {where} was written by a newer Suanli.",
            remedy="Install that version again, or point this one at another database.",
            evidence={"schema": version, "newest_known": SCHEMA_VERSION},
        )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()
