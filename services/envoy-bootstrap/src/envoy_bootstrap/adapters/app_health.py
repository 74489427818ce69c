"""Looks after the application beside the agent; thresholds decide (core)."""

import asyncio
from collections.abc import Awaitable, Callable

from envoy_bootstrap.adapters.probing import is_well
from envoy_bootstrap.core.health_probe import ProbeState
from envoy_bootstrap.core.probes import ReadinessProbe


async def watch(
    probe: ReadinessProbe, changed: Callable[[bool], Awaitable[None]], *, source: str | None = None
) -> None:
    """Tell `changed` of every change of health, the first answer included, until cancelled.

    `source` is the address to connect from.
    """
    state = ProbeState(success_threshold=probe.success_threshold, failure_threshold=probe.failure_threshold)
    await asyncio.sleep(probe.initial_delay)
    while True:
        after = state.observed(await is_well(probe.action, probe.timeout, source=source))
        if after.healthy is not None and after.healthy != state.healthy:
            await changed(after.healthy)
        state = after
        await asyncio.sleep(probe.pause(state.healthy))
