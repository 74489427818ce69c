"""Pages for people: what is stored in its normalised form, how far publishing has come, what the sources have and
what of it was refused."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from meshcore.http import Page, Role, caller_of
from meshcore.model.kinds import KINDS

from galley.adapters.config_api.calls import Backend
from galley.adapters.publisher import Publisher
from galley.adapters.sources import Intake


def debug_router(backend: Backend, publisher: Publisher | None, intakes: Sequence[Intake] = ()) -> APIRouter:
    """Routes under `/debug`."""
    router = APIRouter(tags=["debug"])

    @router.get("/debug/configz")
    async def list_configz(
        request: Request,
        kind: Annotated[str | None, Query()] = None,
        namespace: Annotated[str | None, Query()] = None,
    ) -> Page[dict[str, Any]]:
        """Every object as consumers get it, by kind, namespace and name."""
        caller_of(request).require(Role.VIEWER, namespace)
        items: list[dict[str, Any]] = []
        for info in KINDS:
            if kind not in (None, info.kind, info.plural) or (namespace is not None and not info.namespaced):
                continue
            page = await backend.store.list(info.group, info.plural, namespace)
            items += [item.normalised_document() for item in page.items if item.normalised is not None]
        return Page(items=items)

    @router.get("/debug/publisherz")
    async def get_publisherz(request: Request) -> dict[str, Any]:
        """Whether this instance publishes, and the newest revision whose head is in the bucket."""
        caller_of(request).require(Role.VIEWER)
        committed = await backend.store.revision()
        if publisher is None:
            return {"enabled": False, "committed": committed}
        status = publisher.status()
        return {
            "enabled": True,
            "committed": committed,
            "leading": status.leading,
            "connected": status.connected,
            "published": status.published,
        }

    @router.get("/debug/sourcez")
    async def get_sourcez(request: Request) -> Page[dict[str, Any]]:
        """Every source: whether its state was taken in, how many objects it has, and what could not be taken."""
        caller_of(request).require(Role.VIEWER)
        return Page(items=[asdict(intake.report()) for intake in intakes])

    return router
