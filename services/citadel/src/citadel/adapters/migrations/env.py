"""Alembic's entry: migrates over the connection that Citadel opened, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
context.run_migrations()
