"""The admin REST of one service from the command line."""

from types import TracebackType
from typing import Any, Self

import httpx
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.config_api import refused


class AdminApi:
    """One connection to the admin port of `service` at `url`; the token is never printed."""

    def __init__(self, service: str, url: str, token: str, timeout: float = 10.0) -> None:
        self.service = service
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

    def get(self, path: str, /, timeout: float = 10.0, **parameters: str | float | list[str]) -> Any:
        """The JSON document at `path`."""
        return self._answer("GET", path, timeout=timeout, params=parameters)

    def post(self, path: str, body: Any, timeout: float = 60.0) -> Any:
        """The answer to a JSON body."""
        return self._answer("POST", path, timeout=timeout, json=body)

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"{self.service} at {self.url} does not answer: {error}") from None
        if not answer.is_success:
            raise refused(answer)
        return answer.json()
