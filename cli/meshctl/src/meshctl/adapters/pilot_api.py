"""Pilot's admin REST from the command line."""

from types import TracebackType
from typing import Any, Self

import httpx
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.config_api import refused


class PilotApi:
    """One connection to Pilot's admin port at `url`; the token is never printed."""

    def __init__(self, url: str, token: str, timeout: float = 10.0) -> None:
        self.url = url
        headers = {"authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def get(self, path: str, timeout: float = 10.0, **parameters: str | float) -> Any:
        """The JSON document at `path`."""
        try:
            answer = self._client.get(path, params=parameters, timeout=timeout)
        except httpx.TransportError as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"Pilot at {self.url} does not answer: {error}") from None
        if not answer.is_success:
            raise refused(answer)
        return answer.json()

    def receipt(self, revision: int, wait: float) -> dict[str, Any]:
        """The convergence receipt of a revision, waited for at most `wait` seconds (60 at most)."""
        return dict(self.get(f"/api/v1/changes/{revision}/receipt", timeout=wait + 10, wait=wait))

    def sync_status(self) -> list[dict[str, Any]]:
        """Which proxy was sent and has acknowledged what: a row for each."""
        return list(self.get("/debug/syncz"))

    def config_dump(self, proxy: str) -> Any:
        """What Pilot compiles for the proxy `pod.namespace`."""
        return self.get("/debug/config_dump", proxyID=proxy)
