"""Pilot's debug pages, in Istio's shapes where Istio has them; the same over HTTP and xDS. Asks, decides nothing."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from pilot.adapters.answers import Gathered, Source
from pilot.core.debug_question import NAMESPACE, PROXY

Parameters = Mapping[str, str]


async def debug_page(source: Source, page: str, parameters: Parameters) -> Any:
    """The JSON document of a page; `source` answers for every instance. NOT_FOUND when there is no such page."""
    made = _PAGES.get(page)
    if made is None:
        raise MeshError(ErrorCode.NOT_FOUND, f"there is no debug page {page[:100]!r}; there are {', '.join(_PAGES)}")
    return await made(source, parameters)


async def _syncz(source: Source, parameters: Parameters) -> list[dict[str, Any]]:
    rows = rows_of(await source.ask("syncz", {}, 0), "proxy")
    namespace = parameters.get(NAMESPACE, "")
    return [row for row in rows if not namespace or row["proxy"].endswith(f".{namespace}")]


async def _refusals(source: Source, _: Parameters) -> list[dict[str, Any]]:
    return rows_of(await source.ask("refusals", {}, 0), "config")


async def _adsz(source: Source, parameters: Parameters) -> dict[str, Any]:
    gathered = await source.ask("adsz", {"proxy": parameters.get(PROXY, "")}, 0)
    rows = rows_of(gathered, "connectionId")
    return {"totalClients": len(rows), "clients": rows, "instances_missing": list(gathered.missing)}


async def _connections(source: Source, _: Parameters) -> dict[str, Any]:
    rows = rows_of(await source.ask("adsz", {}, 0), "connectionId")
    short = [{key: row[key] for key in ("connectionId", "connectedAt", "address")} for row in rows]
    return {"totalClients": len(short), "clients": short}


async def _config_dump(source: Source, parameters: Parameters) -> Any:
    return await _of_one(source, "config_dump", parameters)


async def _edsz(source: Source, parameters: Parameters) -> Any:
    return await _of_one(source, "edsz", parameters)


async def _of_one(source: Source, what: str, parameters: Parameters) -> Any:
    proxy = parameters.get(PROXY, "")
    if not proxy:
        raise MeshError(ErrorCode.INVALID, f"{PROXY} is missing: <pod>.<namespace>")
    return the_one(await source.ask(what, {"proxy": proxy}, 0), proxy)


async def _registryz(source: Source, _: Parameters) -> list[dict[str, Any]]:
    gathered = await source.ask("registryz", {}, 0)
    return next(iter(gathered.answers.values()), [])


async def _engine(source: Source, _: Parameters) -> dict[str, Any]:
    gathered = await source.ask("engine", {}, 0)
    return {"instances": dict(gathered.answers), "instances_missing": list(gathered.missing)}


_PAGES: Mapping[str, Callable[[Source, Parameters], Awaitable[Any]]] = {
    "syncz": _syncz,
    "refusals": _refusals,
    "adsz": _adsz,
    "connections": _connections,
    "config_dump": _config_dump,
    "edsz": _edsz,
    "registryz": _registryz,
    "engine": _engine,
}


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
