"""The admin REST of one service from the command line."""

import ssl
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.config_api import refused
from meshctl.adapters.stack_files import layout_of, stack_from
from meshctl.core.topology import ADMIN_PORT, Stack


class AdminApi:
    """One connection to the admin port of `service` at `url`; the token is never printed."""

    def __init__(self, service: str, url: str, token: str, timeout: float = 10.0, root: str | None = None) -> None:
        """`root` are the roots (PEM) that a service beyond loopback is believed by. Without a token only open paths
        answer."""
        self.service = service
        self.url = url
        self._timeout = timeout
        headers = {"authorization": f"Bearer {token}"} if token else {}
        verify = True if root is None else ssl.create_default_context(cadata=root)
        self._client = httpx.Client(base_url=url, verify=verify, headers=headers, timeout=timeout, trust_env=False)

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

    def readiness(self) -> Any:
        """What `/readyz` says, ready or not."""
        answer = self._ask("GET", "/readyz", timeout=self._timeout)
        if answer.is_success or answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            return answer.json()
        raise refused(answer)

    def post(self, path: str, body: Any, timeout: float = 60.0) -> Any:
        """The answer to a JSON body."""
        return self._answer("POST", path, timeout=timeout, json=body)

    def delete(self, path: str) -> Any:
        """The answer to a deletion."""
        return self._answer("DELETE", path)

    def try_out(self, path: str, body: Any, timeout: float = 60.0) -> Any:
        """The answer to a JSON body; the problem document with its violations is an answer too."""
        answer = self._ask("POST", path, timeout=timeout, json=body)
        if answer.is_success or (
            answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY and "violations" in answer.json()
        ):
            return answer.json()
        raise refused(answer)

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        answer = self._ask(method, path, **options)
        if not answer.is_success:
            raise refused(answer)
        return answer.json()

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"{self.service} at {self.url} does not answer: {error}") from None


def galley_of(stack: int | None) -> AdminApi:
    """Galley's admin API of the running stack, as its administrator."""
    return _admin_of("Galley", stack_from(stack), lambda chosen: chosen.galley)


def citadel_of(stack: int | None) -> AdminApi:
    """Citadel's admin API of the running stack, as its administrator."""
    return _admin_of("Citadel", stack_from(stack), lambda chosen: chosen.citadel)


def _admin_of(service: str, chosen: Stack, address: Callable[[Stack], str]) -> AdminApi:
    try:
        token = Path(layout_of(chosen).admin_token).read_text().strip()
    except FileNotFoundError as error:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"no {error.filename}: is the stack up?") from None
    return AdminApi(service, f"http://{address(chosen)}:{ADMIN_PORT}", token)
