"""One page of metrics for agent, Envoy and application; a source that fails leaves the others as they are."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import h11
import structlog
from meshcore import metrics
from meshcore.errors import MeshError

from envoy_bootstrap.adapters.http_get import http_get
from envoy_bootstrap.core.metrics_merge import agent_names, istio_names, merge_metrics

_log = structlog.get_logger("status")
_SCRAPES = metrics.counter("istio_agent_scrapes_total", "Scrapes of the merged metrics.")
_FAILURES = metrics.counter("istio_agent_scrape_failures_total", "Sources that did not answer a scrape.", ["type"])
SCRAPE_TIMEOUT = 5.0
"""Seconds that a source has where the scraper says nothing of its own."""
_MAX_PAGE = 10 << 20

Target = tuple[str, int, str]
"""Host, port and path."""


class MergedMetrics:
    """The page of one workload."""

    def __init__(self, envoy: Callable[[], Awaitable[str]], targets: Sequence[Target]) -> None:
        self._envoy = envoy
        self._targets = tuple(targets)

    async def page(self, timeout: float) -> str:
        """The agent's own metrics, Envoy's, and those of each page of the application, in that order."""
        _SCRAPES.inc()
        envoy, *apps = await asyncio.gather(
            _source("envoy", self._envoy(), timeout),
            *(_source("application", _app_metrics(*target), timeout) for target in self._targets),
        )
        return merge_metrics([agent_names(metrics.render().decode()), istio_names(envoy), *apps])


async def _source(kind: str, text: Awaitable[str], timeout: float) -> str:
    try:
        async with asyncio.timeout(timeout):
            return await text
    except (MeshError, OSError, TimeoutError, ValueError, h11.ProtocolError) as error:
        _FAILURES.labels(kind).inc()
        _log.warning("metrics source does not answer", source=kind, reason=type(error).__name__)
        return ""


async def _app_metrics(host: str, port: int, path: str) -> str:
    got = await http_get(host, port, path, limit=_MAX_PAGE + 1)
    if got.status != 200:
        raise ValueError(f"the application answers with {got.status}")
    if len(got.body) > _MAX_PAGE:
        raise ValueError(f"the application has more than {_MAX_PAGE} bytes of metrics")
    return got.body.decode("utf-8", "replace")
