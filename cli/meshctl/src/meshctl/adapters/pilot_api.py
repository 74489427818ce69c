"""Pilot's admin REST from the command line."""

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

    def config_dump(self, proxy: str) -> Any:
        """What Pilot compiles for the proxy `pod.namespace`."""
        return self.get("/debug/config_dump", proxyID=proxy)
