"""Pilot's admin REST from the command line."""

from collections.abc import Mapping, Sequence
from typing import Any

from meshctl.adapters.admin_api import AdminApi


class PilotApi(AdminApi):
    """One connection to Pilot's admin port at `url`."""

    def __init__(self, url: str, token: str, timeout: float = 10.0) -> None:
        super().__init__("Pilot", url, token, timeout)

    def receipt(self, revision: int, wait: float) -> dict[str, Any]:
        """The convergence receipt of a revision, waited for at most `wait` seconds (60 at most)."""
        return dict(self.get(f"/api/v1/changes/{revision}/receipt", timeout=wait + 10, wait=wait))

    def sync_status(self) -> list[dict[str, Any]]:
        """Which proxy was sent and has acknowledged what: a row for each."""
        return list(self.get("/debug/syncz"))

    def what_if(self, changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Which proxies would be sent what; `changes` are operations with normalised objects."""
        return dict(self.post("/api/v1/whatif", {"changes": list(changes)}))

    def explain(self, proxy: str, to: str, path: str, method: str, headers: Sequence[str], port: int) -> dict[str, Any]:
        """Where a request of the proxy `pod.namespace` would go; `headers` are `name: value`."""
        asked: dict[str, Any] = {"from": proxy, "to": to, "method": method, "port": port, "header": list(headers)}
        return dict(self.get("/api/v1/explain", **asked, path=path))

    def config_dump(self, proxy: str) -> Any:
        """What Pilot compiles for the proxy `pod.namespace`."""
        return self.get("/debug/config_dump", proxyID=proxy)
