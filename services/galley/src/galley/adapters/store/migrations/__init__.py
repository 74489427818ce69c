"""Alembic migrations of the store; `galley.adapters.store.engine` runs them at every start."""
