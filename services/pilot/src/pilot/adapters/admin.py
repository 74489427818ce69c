"""Pilot's admin REST: receipts, who has what. Parses and asks, decides nothing."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import Role, require
from meshcore.xds.types import SHORT_NAMES
from pydantic import BaseModel

from pilot.adapters.answers import LONGEST_WAIT, Gathered, Source
from pilot.adapters.debug import debug_pages
from pilot.adapters.debug_pages import rows_of, the_one
from pilot.core.receipt import Knowledge, ReceiptAnswer, Slowest, merged
from pilot.core.refusals import shortened
from pilot.core.what_if import parse_changes, united


class ProxyCount(BaseModel):
    """How many proxies had to get a revision, and how many have acknowledged it."""

    count: int
    acked: int


class RefusalState(BaseModel):
    """A proxy that refused a revision and keeps what it had."""

    proxy: str
    type: str
    error: str
    configs: list[str]
    """The objects that made what it refused: `<kind>/<namespace>/<name>@<revision>`."""


class LeftOutState(BaseModel):
    """An object whose version Pilot left out, for all proxies or some: they have its last good form if one is known."""

    config: str
    """`<kind>/<namespace>/<name>@<revision>`."""
    error: str


class SlowestProxy(BaseModel):
    """The last proxy that acknowledged, and where the time of its push went."""

    proxy: str
    cause: str
    """The stage that took longest: `queue`, `compile`, `send` or `ack`."""
    seconds: dict[str, float]


class ReceiptState(BaseModel):
    """The convergence of one config revision."""

    revision: int
    complete: bool
    """Every proxy that must get it has acknowledged all of it: nobody is out, has refused it or did not answer, and
    nothing of it was left out."""
    commit_time: str | None
    last_ack_time: str | None
    convergence_ms: float | None
    proxies: ProxyCount
    outstanding: list[str]
    stages: dict[str, str]
    """By outstanding proxy: what its push waits for, `queue`, `compile`, `send` or `ack`."""
    slowest: SlowestProxy | None
    failed: list[RefusalState]
    gone: list[str]
    instances_missing: list[str]
    left_out: list[LeftOutState]


class ProxyList(BaseModel):
    """The proxies that are connected."""

    items: list[dict[str, Any]]
    instances_missing: list[str]


class BoundState(BaseModel):
    """Something that is in force in one process; `value` is null where nothing bounds it."""

    name: str
    """`push_throttle`, `new_streams_per_second`, `admission_limit`, `debounce_after`, `debounce_max`,
    `endpoint_debounce` or `workers`."""
    value: float | None
    unit: str
    reason: str
    """The variable of the environment with its value, or why it is as it is without one."""


class ConfigSource(BaseModel):
    """Which config a process serves, and how true it is."""

    source: Literal["bus", "disk", "none"]
    """`disk`: nothing but the copy of an earlier run has been seen so far."""
    connected: bool
    """Whether NATS is."""
    in_sync: bool
    """Whether the newest revision that was heard of is served, and somebody has been heard within seconds."""
    store: str
    revision: int
    generation: int
    """How often what is served has changed in this process: config, Secrets, registrations, keys."""
    taken_at: str | None
    """When the revision came."""
    as_of: str | None
    """When Galley last said that it is the newest; of a copy when it was written."""


class ProxyCounts(BaseModel):
    """The proxies of one process: with a config, those that have all of it, those that refuse some of it; and streams
    that are being served their first config, or wait to be."""

    connected: int
    synced: int
    refusing: int
    starting: int
    waiting: int


class ProcessInForce(BaseModel):
    """One process that serves proxies."""

    pilot: str
    version: str
    waits_for: dict[str, str]
    """What keeps it from being ready, by condition."""
    bounds: list[BoundState]
    config: ConfigSource
    proxies: ProxyCounts


class InForceList(BaseModel):
    """Every process of every Pilot."""

    items: list[ProcessInForce]
    instances_missing: list[str]


class Supposition(BaseModel):
    """A change set that is supposed: `[{"operation": "apply" | "delete", "object": {...}}]`, objects normalised."""

    changes: list[dict[str, Any]]


class Effect(BaseModel):
    """What a change set would do, seen from config revision `revision`."""

    revision: int
    proxies: int
    """Proxies that were looked at."""
    consequences: list[dict[str, Any]]
    """One entry for each different outcome: `proxies`, `resources` (what becomes of each, by field), `problems`."""
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
        return ProxyList(items=rows_of(gathered, "proxy"), instances_missing=list(gathered.missing))

    @router.get("/api/v1/in-force")
    async def list_in_force() -> InForceList:
        """What every process has in force, with the reason of each bound, and how true the config is that it serves."""
        gathered = await source.ask("in_force", {}, 0)
        rows = [ProcessInForce.model_validate(row) for row in rows_of(gathered, "pilot")]
        return InForceList(items=rows, instances_missing=list(gathered.missing))

    @router.post("/api/v1/whatif")
    async def suppose(body: Supposition) -> Effect:
        """Which proxies would be sent what if these objects were written or deleted; nothing is stored or sent."""
        parse_changes(body.changes)
        gathered = await source.ask("whatif", {"changes": body.changes}, 0)
        parts = list(gathered.answers.values())
        if not parts:
            raise MeshError(ErrorCode.UNAVAILABLE, "no Pilot instance answered in time")
        return Effect(
            revision=min(part["revision"] for part in parts),
            proxies=sum(part["proxies"] for part in parts),
            consequences=united(one for part in parts for one in part["consequences"]),
            instances_missing=list(gathered.missing),
        )

    @router.get("/api/v1/explain")
    async def explain_request(
        proxy: Annotated[str, Query(alias="from", description="`<pod>.<namespace>` or `<workload>.<namespace>`")],
        to: Annotated[str, Query(description="`host[:port]` or a URL")],
        path: str = "",
        method: str = "GET",
        header: Annotated[list[str] | None, Query(description="`name: value`")] = None,
        port: Annotated[int, Query(ge=0, le=65535)] = 0,
    ) -> dict[str, Any]:
        """Where a request of a connected proxy would go, and which config decided at each step."""
        headers = dict(_header(text) for text in header or ())
        asked = {"proxy": proxy, "to": to, "path": path, "method": method, "headers": headers, "port": port}
        return dict(the_one(await source.ask("explain", asked, 0), proxy))

    router.include_router(debug_pages(source))
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
        complete=not (whole.outstanding or whole.failed or missing or whole.left_out),
        commit_time=_time(whole.commit_time),
        last_ack_time=_time(whole.last_ack_time),
        convergence_ms=took,
        proxies=ProxyCount(count=whole.count, acked=whole.acked),
        outstanding=list(whole.outstanding),
        stages=dict(whole.stages),
        slowest=_slowest(whole.slowest),
        failed=[
            RefusalState(
                proxy=one.proxy,
                type=SHORT_NAMES.get(one.type_url, one.type_url),
                error=one.message,
                configs=list(one.configs),
            )
            for one in whole.failed
        ],
        gone=list(whole.gone),
        instances_missing=missing,
        left_out=[LeftOutState(config=one.config, error=shortened(one.message)) for one in whole.left_out],
    )


def _slowest(found: Slowest | None) -> SlowestProxy | None:
    if found is None:
        return None
    seconds = {str(stage): round(one, 6) for stage, one in found.seconds.items()}
    return SlowestProxy(proxy=found.proxy, cause=found.cause, seconds=seconds)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise MeshError(ErrorCode.INVALID, f"the header {text!r} is not of the form NAME: VALUE")
    return name.strip(), value.strip()


def _time(epoch: float | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
