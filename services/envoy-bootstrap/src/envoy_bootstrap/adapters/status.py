"""The agent's status server, port 15020.

`/healthz/ready` and `/stats/prometheus` (and `/metrics`) are open; `/quitquitquit` and `/drain` are for POST from this
machine only, and so are `/audit`, how access records get on, `/debug/ndsz`, the name table, and
`/wasm?url=...&sha256=...`, from which Envoy has its Wasm modules. `/app-health/...` and `/app-lifecycle/...` ask the
application for kubelet. A bare ASGI application: a sidecar is started by the
thousand, so it carries no web framework.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import structlog
from meshcore import metrics
from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.app_probe_route import PREFIXES, AppProbeRoute
from envoy_bootstrap.adapters.merged_metrics import SCRAPE_TIMEOUT, MergedMetrics
from envoy_bootstrap.core.readiness import EnvoyReadiness

_log = structlog.get_logger("status")
_TIMEOUT_HEADER = b"x-prometheus-scrape-timeout-seconds"

Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StatusSources:
    """What the server asks and tells."""

    readiness: Callable[[], Awaitable[EnvoyReadiness]]
    metrics: MergedMetrics
    probes: AppProbeRoute
    drain: Callable[[], Awaitable[None]]
    quit: Callable[[], None]
    wasm_module: Callable[[str, str], Awaitable[bytes]]
    """By URL and SHA-256."""
    audit: Callable[[], dict[str, Any]]
    names: Callable[[], Any]


def status_app(sources: StatusSources) -> Callable[..., Awaitable[None]]:
    """The ASGI application."""

    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path in ("/healthz/ready", "/stats/prometheus", "/metrics"):
            if method not in ("GET", "HEAD"):
                await _answer(send, 405, "GET only\n")
            elif path == "/healthz/ready":
                readiness = await sources.readiness()
                await _answer(
                    send, 200 if readiness.ready else 503, f"{readiness.reason}\n" if readiness.reason else ""
                )
            else:
                await _answer(send, 200, await sources.metrics.page(_timeout(scope)), metrics.CONTENT_TYPE)
        elif path in ("/quitquitquit", "/drain"):
            await _command(sources, scope, send)
        elif path in ("/audit", "/debug/ndsz"):
            await _shown(sources.audit if path == "/audit" else sources.names, scope, send)
        elif path == "/wasm":
            await _module(sources, scope, send)
        elif path.startswith(PREFIXES):
            await _answer(send, *await sources.probes.answer(scope))
        else:
            # what is for this machine alone is not told apart, for others, from what is not there
            secret = path.startswith("/debug/") and not _is_local(scope)
            await _answer(send, 403 if secret else 404, "only from this machine\n" if secret else "not found\n")

    return app


def _timeout(scope: dict[str, Any]) -> float:
    """What the scraper gives a scrape, so that one slow source does not cost it the whole page."""
    text = dict(scope.get("headers", ())).get(_TIMEOUT_HEADER, b"")
    try:
        seconds = float(text)
    except ValueError:
        return SCRAPE_TIMEOUT
    return min(seconds, SCRAPE_TIMEOUT) if seconds > 0 else SCRAPE_TIMEOUT


async def _module(sources: StatusSources, scope: dict[str, Any], send: Send) -> None:
    if not _is_local(scope):
        await _answer(send, 403, "only from this machine\n")
        return
    if scope["method"] != "GET":
        await _answer(send, 405, "GET only\n")
        return
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    try:
        module = await sources.wasm_module(query.get("url", [""])[0], query.get("sha256", [""])[0])
    except MeshError as error:
        _log.warning("no wasm module", reason=error.detail)
        await _answer(send, 400 if error.code is ErrorCode.INVALID else 502, f"{error.detail}\n")
        return
    await _send(send, 200, module, "application/wasm")


async def _shown(document: Callable[[], Any], scope: dict[str, Any], send: Send) -> None:
    if not _is_local(scope):
        await _answer(send, 403, "only from this machine\n")
    elif scope["method"] not in ("GET", "HEAD"):
        await _answer(send, 405, "GET only\n")
    else:
        await _answer(send, 200, f"{json.dumps(document())}\n", "application/json")


def _is_local(scope: dict[str, Any]) -> bool:
    client = scope.get("client")
    return client is not None and ipaddress.ip_address(client[0]).is_loopback


async def _command(sources: StatusSources, scope: dict[str, Any], send: Send) -> None:
    if not _is_local(scope):
        await _answer(send, 403, "only from this machine\n")
    elif scope["method"] != "POST":
        await _answer(send, 405, "POST only\n")
    elif scope["path"] == "/drain":
        await sources.drain()
        await _answer(send, 200, "OK\n")
    else:
        await _answer(send, 200, "OK\n")
        sources.quit()


async def _answer(send: Send, status: int, text: str, content_type: str = "text/plain; charset=utf-8") -> None:
    await _send(send, status, text.encode(), content_type)


async def _send(send: Send, status: int, body: bytes, content_type: str) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
