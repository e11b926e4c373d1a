"""The store on a database: SQLite by default, PostgreSQL by URL."""

from suanli.store.sql_store import SqlStore

__all__ = ["SqlStore"]
