"""Galley's store on SQLAlchemy: SQLite by default, PostgreSQL for replicas."""

from galley.adapters.store.store import Store

__all__ = ["Store"]
