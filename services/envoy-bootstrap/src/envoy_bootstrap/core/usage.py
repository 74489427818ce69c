"""Is anybody still using this proxy? Read from Envoy's statistics while it drains. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

USAGE_STATS = r"downstream_(cx|rq)_active$"

_NOT_TRAFFIC = re.compile(
    r"\.worker_\d+\.|^listener\.(admin|envoy_internal_)|^listener\..*_(15021|15090)\.|^http\.(admin|agent|stats);?\."
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Downstream connections, how many of them are not HTTP, and HTTP requests (upgraded ones too) in flight."""

    connections: int
    raw: int
    requests: int

    def is_over(self, *, callers_know: bool) -> bool:
        """Nobody is connected; or, when all callers have turned elsewhere, what is connected is idle.

        An idle connection that is closed while its client begins a request fails that request; so it counts as long as
        a client may not know that this workload is leaving.
        """
        return self.connections == 0 or (callers_know and self.requests == 0 and self.raw <= 0)


def usage(stats: Mapping[str, int]) -> Usage:
    """The workload's own traffic; the agent's listeners and the admin interface are left out."""
    counted = {name: value for name, value in stats.items() if not _NOT_TRAFFIC.search(name)}
    connections = _sum(counted, "listener.", "downstream_cx_active")
    http = _sum(counted, "http.", "downstream_cx_active")
    return Usage(connections, connections - http, _sum(counted, "http.", "downstream_rq_active"))


def _sum(stats: Mapping[str, int], prefix: str, suffix: str) -> int:
    return sum(value for name, value in stats.items() if name.startswith(prefix) and name.endswith(suffix))
