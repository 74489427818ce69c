"""No request beyond the open paths is answered before its caller is known."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from meshcore.errors import ErrorCode, MeshError
from meshcore.http.callers import PEER_EXTENSION, Authenticator, Caller, Credentials, Role
from meshcore.http.problem import problem_response
from meshcore.http.tokens import bearer_token
from meshcore.tls.peers import spiffe_of_der


class AuthenticationMiddleware:
    """Lets `open_paths` through, and everything else only with a caller, which it puts into `request.state.caller`."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator | None, open_paths: Collection[str]) -> None:
        self._app = app
        self._authenticator = authenticator
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or pass the request on."""
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        caller = await self._caller(scope)
        if caller is None:
            response = problem_response(
                ErrorCode.UNAUTHENTICATED, "a valid bearer token or client certificate is needed"
            )
            await response(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller | None:
        if self._authenticator is None:
            return None
        return await self._authenticator.authenticate(credentials_of(scope))


def credentials_of(scope: Scope) -> Credentials:
    """What a request brought."""
    header = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), None)
    peer = spiffe_of_der(scope.get("extensions", {}).get(PEER_EXTENSION))
    return Credentials(token=bearer_token(header), peer=peer)


def caller_of(request: Request) -> Caller:
    """The authenticated caller of a request (a FastAPI dependency)."""
    caller: Any = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise MeshError(ErrorCode.UNAUTHENTICATED, "this path needs an authenticated caller")
    return caller


def require(role: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A FastAPI dependency: the caller, who must have `role` in the path's `namespace` (or in all, without one)."""

    async def dependency(request: Request) -> Caller:
        caller = caller_of(request)
        caller.require(role, request.path_params.get("namespace"))
        return caller

    return dependency
