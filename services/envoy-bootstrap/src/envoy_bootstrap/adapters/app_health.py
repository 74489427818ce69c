"""Probes the application beside the agent; thresholds decide (core)."""

import asyncio
from collections.abc import Awaitable, Callable

import h11

from envoy_bootstrap.adapters.http_get import http_get
from envoy_bootstrap.core.health_probe import ProbeState, ProbeTarget

PERIOD, TIMEOUT = 10.0, 1.0
"""Seconds, as in Istio's defaults; while the application is not healthy it is looked at every second."""
_MAX_BODY = 10 << 10


async def watch(target: ProbeTarget, changed: Callable[[bool], Awaitable[None]]) -> None:
    """Tell `changed` of every change of health, the first answer included, until cancelled."""
    state = ProbeState()
    while True:
        after = state.observed(await probe(target))
        if after.healthy is not None and after.healthy != state.healthy:
            await changed(after.healthy)
        state = after
        await asyncio.sleep(PERIOD if state.healthy else TIMEOUT)


async def probe(target: ProbeTarget) -> bool:
    """Does it accept a connection, or answer a GET with 2xx or 3xx?"""
    try:
        async with asyncio.timeout(TIMEOUT):
            if target.path is None:
                _, writer = await asyncio.open_connection(target.host, target.port)
                writer.close()
                return True
            status, _ = await http_get(target.host, target.port, target.path, limit=_MAX_BODY)
            return 200 <= status < 400
    except (OSError, TimeoutError, h11.ProtocolError):
        return False
