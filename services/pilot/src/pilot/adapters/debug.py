"""Pilot's debug pages over HTTP. Parses and asks, decides nothing."""

from typing import Any

from fastapi import APIRouter, Query

from pilot.adapters.answers import Source
from pilot.adapters.debug_pages import debug_page
from pilot.core.debug_question import NAMESPACE, PROXY


def debug_pages(source: Source) -> APIRouter:
    """The routes; `source` answers for every instance."""
    router = APIRouter()

    @router.get("/debug/syncz")
    async def get_sync_status(namespace: str = "") -> list[dict[str, Any]]:
        """Nonces sent and acknowledged per proxy and type."""
        return list(await debug_page(source, "syncz", {NAMESPACE: namespace}))

    @router.get("/debug/refusals")
    async def get_refusals() -> list[dict[str, Any]]:
        """What proxies refuse now, by the config object that made it."""
        return list(await debug_page(source, "refusals", {}))

    @router.get("/debug/adsz")
    async def get_ads_status(proxy: str = Query(default="", alias=PROXY)) -> dict[str, Any]:
        """Connected clients with their nodes and subscriptions."""
        return dict(await debug_page(source, "adsz", {PROXY: proxy}))

    @router.get("/debug/connections")
    async def get_connections() -> dict[str, Any]:
        """The short list of connections."""
        return dict(await debug_page(source, "connections", {}))

    @router.get("/debug/config_dump")
    async def get_config_dump(proxy: str = Query(alias=PROXY)) -> Any:
        """What is compiled for one proxy now, as Envoy's admin shows it."""
        return await debug_page(source, "config_dump", {PROXY: proxy})

    @router.get("/debug/edsz")
    async def get_endpoints(proxy: str = Query(alias=PROXY)) -> Any:
        """The endpoints compiled for one proxy."""
        return await debug_page(source, "edsz", {PROXY: proxy})

    @router.get("/debug/registryz")
    async def get_registry() -> list[dict[str, Any]]:
        """Services and endpoints as the first instance that answers sees them."""
        return list(await debug_page(source, "registryz", {}))

    @router.get("/debug/engine")
    async def get_engine() -> dict[str, Any]:
        """Counters of every process: classes, compiles, frames built and shared, admission backlog."""
        return dict(await debug_page(source, "engine", {}))

    return router
