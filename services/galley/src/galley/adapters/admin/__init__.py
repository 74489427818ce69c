"""Galley's part of the admin API: history, rollback, change sets, audit, what is published."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter

from galley.adapters.admin.changesets import changesets_router
from galley.adapters.admin.debug import debug_router
from galley.adapters.admin.events import events_router
from galley.adapters.admin.history import history_router
from galley.adapters.admin.rollback import rollback_router
from galley.adapters.config_api.calls import Backend
from galley.adapters.publisher import Publisher
from galley.adapters.sources import Intake

__all__ = ["admin_routers"]


def admin_routers(
    backend: Backend, publisher: Publisher | None, stopping: asyncio.Event, intakes: Sequence[Intake] = ()
) -> list[APIRouter]:
    """Every router; without a publisher the pages about publishing say so. `stopping` ends open streams."""
    return [
        events_router(backend, stopping),
        history_router(backend),
        rollback_router(backend),
        changesets_router(backend),
        debug_router(backend, publisher, intakes),
    ]
