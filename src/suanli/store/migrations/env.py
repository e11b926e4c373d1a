"""Run by alembic. The connection, and the transaction on it, are `schema.upgrade`'s."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
