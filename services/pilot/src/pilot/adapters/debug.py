"""Pilot's debug pages, in Istio's shapes where Istio has them. Parses and asks, decides nothing."""

from typing import Any

from fastapi import APIRouter, Query
from meshcore.errors import ErrorCode, MeshError

from pilot.adapters.answers import Gathered, Source


def debug_pages(source: Source) -> APIRouter:
    """The routes; `source` answers for every instance."""
    router = APIRouter()

    @router.get("/debug/syncz")
    async def get_sync_status(namespace: str = "") -> list[dict[str, Any]]:
        """Nonces sent and acknowledged per proxy and type."""
        rows = rows_of(await source.ask("syncz", {}, 0), "proxy")
        return [row for row in rows if not namespace or row["proxy"].endswith(f".{namespace}")]

    @router.get("/debug/refusals")
    async def get_refusals() -> list[dict[str, Any]]:
        """What proxies refuse now, by the config object that made it."""
        return rows_of(await source.ask("refusals", {}, 0), "config")

    @router.get("/debug/adsz")
    async def get_ads_status(proxy: str = Query(default="", alias="proxyID")) -> dict[str, Any]:
        """Connected clients with their nodes and subscriptions."""
        gathered = await source.ask("adsz", {"proxy": proxy}, 0)
        rows = rows_of(gathered, "connectionId")
        return {"totalClients": len(rows), "clients": rows, "instances_missing": list(gathered.missing)}

    @router.get("/debug/connections")
    async def get_connections() -> dict[str, Any]:
        """The short list of connections."""
        rows = rows_of(await source.ask("adsz", {}, 0), "connectionId")
        short = [{key: row[key] for key in ("connectionId", "connectedAt", "address")} for row in rows]
        return {"totalClients": len(short), "clients": short}

    @router.get("/debug/config_dump")
    async def get_config_dump(proxy: str = Query(alias="proxyID")) -> Any:
        """What is compiled for one proxy now, as Envoy's admin shows it."""
        return the_one(await source.ask("config_dump", {"proxy": proxy}, 0), proxy)

    @router.get("/debug/edsz")
    async def get_endpoints(proxy: str = Query(alias="proxyID")) -> Any:
        """The endpoints compiled for one proxy."""
        return the_one(await source.ask("edsz", {"proxy": proxy}, 0), proxy)

    @router.get("/debug/registryz")
    async def get_registry() -> list[dict[str, Any]]:
        """Services and endpoints as the first instance that answers sees them."""
        gathered = await source.ask("registryz", {}, 0)
        return next(iter(gathered.answers.values()), [])

    @router.get("/debug/engine")
    async def get_engine() -> dict[str, Any]:
        """Counters of every process: classes, compiles, frames built and shared, admission backlog."""
        gathered = await source.ask("engine", {}, 0)
        return {"instances": dict(gathered.answers), "instances_missing": list(gathered.missing)}

    return router


def rows_of(gathered: Gathered, key: str) -> list[dict[str, Any]]:
    """The rows of every process, each with the name of its process, sorted by `key`."""
    rows = [{**row, "pilot": name} for name, part in gathered.answers.items() for row in part]
    return sorted(rows, key=lambda row: str(row[key]))


def the_one(gathered: Gathered, proxy: str) -> Any:
    """The answer of the process that has the proxy; NOT_FOUND when none has it, UNAVAILABLE when one may."""
    found = next((part for part in gathered.answers.values() if part is not None), None)
    if found is None:
        if gathered.missing:
            raise MeshError(ErrorCode.UNAVAILABLE, f"{', '.join(gathered.missing)} did not answer")
        raise MeshError(ErrorCode.NOT_FOUND, f"no proxy {proxy} is connected; proxies are named <pod>.<namespace>")
    return found
