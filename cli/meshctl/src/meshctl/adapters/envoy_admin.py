"""The admin interface of one local Envoy, over its Unix socket."""

from typing import Any

import httpx
from meshcore.errors import ErrorCode, MeshError

TIMEOUT = 10.0


class EnvoyAdmin:
    """One Envoy's admin at the Unix socket `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get(self, target: str) -> Any:
        """The JSON document at `target`. MeshError(UNAVAILABLE) when this Envoy does not answer."""
        transport = httpx.HTTPTransport(uds=self._path)
        try:
            with httpx.Client(transport=transport, base_url="http://envoy", timeout=TIMEOUT) as client:
                answer = client.get(target)
        except httpx.TransportError as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"no Envoy answers at {self._path}: {error}") from None
        if not answer.is_success:
            raise MeshError(ErrorCode.INTERNAL, f"Envoy answered {answer.status_code} to {target}")
        return answer.json()

    def config_dump(self) -> Any:
        """Everything that this Envoy runs, endpoints included."""
        return self.get("/config_dump?include_eds")
