"""Pilot's admin REST: receipts, who has what, and debug pages in Istio's shapes. Parses and asks, decides nothing."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Query
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import Role, require
from meshcore.xds.types import SHORT_NAMES
from pydantic import BaseModel

from pilot.adapters.answers import LONGEST_WAIT, Gathered, Source
from pilot.core.receipt import Knowledge, ReceiptAnswer, merged


class ProxyCount(BaseModel):
    """How many proxies had to get a revision, and how many have acknowledged it."""

    count: int
    acked: int


class RefusalState(BaseModel):
    """A proxy that refused a revision and keeps what it had."""

    proxy: str
    type: str
    error: str


class ReceiptState(BaseModel):
    """The convergence of one config revision."""

    revision: int
    complete: bool
    commit_time: str | None
    last_ack_time: str | None
    convergence_ms: float | None
    proxies: ProxyCount
    outstanding: list[str]
    failed: list[RefusalState]
    gone: list[str]
    instances_missing: list[str]


class ProxyList(BaseModel):
    """The proxies that are connected."""

    items: list[dict[str, Any]]
    instances_missing: list[str]


def create_router(source: Source) -> APIRouter:
    """The routes; `source` answers for every instance."""
    viewer = [Depends(require(Role.VIEWER))]
    router = APIRouter(dependencies=viewer, tags=["pilot"])

    @router.get("/api/v1/changes/{revision}/receipt")
    async def get_receipt(revision: int, wait: float = Query(default=0, ge=0, le=LONGEST_WAIT)) -> ReceiptState:
        """Whether every proxy that must get a revision has acknowledged it; `wait` seconds at most for that."""
        return receipt_state(revision, await source.ask("receipt", {"revision": revision}, wait))

    @router.get("/api/v1/proxies")
    async def list_proxies() -> ProxyList:
        """The proxies that are connected, and how far they are."""
        gathered = await source.ask("proxies", {}, 0)
        return ProxyList(items=_rows(gathered, "proxy"), instances_missing=list(gathered.missing))

    @router.get("/debug/syncz")
    async def get_sync_status(namespace: str = "") -> list[dict[str, Any]]:
        """Nonces sent and acknowledged per proxy and type."""
        rows = _rows(await source.ask("syncz", {}, 0), "proxy")
        return [row for row in rows if not namespace or row["proxy"].endswith(f".{namespace}")]

    @router.get("/debug/adsz")
    async def get_ads_status(proxy: str = Query(default="", alias="proxyID")) -> dict[str, Any]:
        """Connected clients with their nodes and subscriptions."""
        gathered = await source.ask("adsz", {"proxy": proxy}, 0)
        rows = _rows(gathered, "connectionId")
        return {"totalClients": len(rows), "clients": rows, "instances_missing": list(gathered.missing)}

    @router.get("/debug/connections")
    async def get_connections() -> dict[str, Any]:
        """The short list of connections."""
        rows = _rows(await source.ask("adsz", {}, 0), "connectionId")
        short = [{key: row[key] for key in ("connectionId", "connectedAt", "address")} for row in rows]
        return {"totalClients": len(short), "clients": short}

    @router.get("/debug/config_dump")
    async def get_config_dump(proxy: str = Query(alias="proxyID")) -> Any:
        """What is compiled for one proxy now, as Envoy's admin shows it."""
        return _the_one(await source.ask("config_dump", {"proxy": proxy}, 0), proxy)

    @router.get("/debug/edsz")
    async def get_endpoints(proxy: str = Query(alias="proxyID")) -> Any:
        """The endpoints compiled for one proxy."""
        return _the_one(await source.ask("edsz", {"proxy": proxy}, 0), proxy)

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


def receipt_state(revision: int, gathered: Gathered) -> ReceiptState:
    """One receipt of all parts; NOT_FOUND for a revision that nobody has seen, GONE for one that nobody keeps."""
    answers = {name: msgspec.convert(part, ReceiptAnswer, strict=False) for name, part in gathered.answers.items()}
    whole = merged(answers, gathered.missing)
    if whole is None:
        raise MeshError(ErrorCode.UNAVAILABLE, "no Pilot instance answered in time")
    if whole.knowledge is not Knowledge.KNOWN:
        if any(answer.knowledge is Knowledge.AHEAD for answer in answers.values()):
            raise MeshError(ErrorCode.NOT_FOUND, f"revision {revision} has not been seen")
        raise MeshError(ErrorCode.GONE, f"no receipt of revision {revision} is kept any more")
    behind = [name for name, answer in answers.items() if answer.knowledge is Knowledge.AHEAD]
    missing = sorted({*gathered.missing, *behind})
    took = None
    if whole.last_ack_time is not None and whole.commit_time is not None:
        took = round((whole.last_ack_time - whole.commit_time) * 1000, 3)
    return ReceiptState(
        revision=revision,
        complete=not (whole.outstanding or whole.failed or missing),
        commit_time=_time(whole.commit_time),
        last_ack_time=_time(whole.last_ack_time),
        convergence_ms=took,
        proxies=ProxyCount(count=whole.count, acked=whole.acked),
        outstanding=list(whole.outstanding),
        failed=[
            RefusalState(proxy=one.proxy, type=SHORT_NAMES.get(one.type_url, one.type_url), error=one.message)
            for one in whole.failed
        ],
        gone=list(whole.gone),
        instances_missing=missing,
    )


def _rows(gathered: Gathered, key: str) -> list[dict[str, Any]]:
    rows = [{**row, "pilot": name} for name, part in gathered.answers.items() for row in part]
    return sorted(rows, key=lambda row: str(row[key]))


def _the_one(gathered: Gathered, proxy: str) -> Any:
    found = next((part for part in gathered.answers.values() if part is not None), None)
    if found is None:
        if gathered.missing:
            raise MeshError(ErrorCode.UNAVAILABLE, f"{', '.join(gathered.missing)} did not answer")
        raise MeshError(ErrorCode.NOT_FOUND, f"no proxy {proxy} is connected; proxies are named <pod>.<namespace>")
    return found


def _time(epoch: float | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
