"""The ASGI application of the config API: routing, authentication, and every error as a Status.

Routing is our own, because clients need exactly the API server's answers: no slash redirects, no framework bodies.
`/healthz`, `/livez`, `/readyz` and `/version` are open; everything else needs a known caller.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import Authenticator, Caller, Role
from meshcore.http.authentication import credentials_of
from meshcore.http.tracing import TracingMiddleware
from meshcore.model.kinds import KindInfo, find_plural
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from galley.adapters.config_api import documents, reads, reviews, watches, workload_tokens, writes
from galley.adapters.config_api.calls import Backend, Call, json_reply, status_reply
from galley.core import access
from galley.core.kinds import rules_of
from galley.core.kube_api import status
from galley.core.kube_api.paths import ResourcePath, parse_resource_path
from galley.core.kube_api.query import parse_boolean

_log = structlog.get_logger("config-api")
_OPEN = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})


_Operation = Callable[[Call], Awaitable[Response]]
_ON_COLLECTIONS: Mapping[str, _Operation] = {
    "GET": reads.list_objects,
    "HEAD": reads.list_objects,
    "POST": writes.create,
    "DELETE": writes.delete_collection,
}
_ON_OBJECTS: Mapping[str, _Operation] = {
    "GET": reads.get_object,
    "HEAD": reads.get_object,
    "PUT": writes.replace,
    "PATCH": writes.patch,
    "DELETE": writes.delete,
}


class ConfigApi:
    """An ASGI application over one store."""

    def __init__(
        self,
        backend: Backend,
        authenticator: Authenticator,
        issuer: workload_tokens.TokenIssuer | None,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._backend = backend
        self._authenticator = authenticator
        self._issuer = issuer
        self._is_ready = is_ready
        self._watches = watches.OpenWatches()
        self._traced = TracingMiddleware(self._serve, untraced=_OPEN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        await self._traced(scope, receive, send)

    async def stop(self) -> None:
        """End every open watch, so that its client reconnects elsewhere or later."""
        self._watches.end()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except MeshError as error:
            response = status_reply(status.from_error(error))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the client gets a Status, the cause goes to the log
            _log.error("request failed", method=request.method, path=request.scope["path"], exc_info=error)
            message = "internal error; the log of the service has the cause"
            response = status_reply(status.StatusError(ErrorCode.INTERNAL, 500, "InternalError", message))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if path in _OPEN:
            return self._answer_open(path)
        caller = await self._authenticator.authenticate(credentials_of(request.scope))
        if caller is None:
            raise status.unauthorized()
        if (response := await self._answer_fixed(request, caller)) is not None:
            return response
        found = parse_resource_path(path)
        if found is None or "\0" in path:  # which PostgreSQL has in no text
            return PlainTextResponse("404 page not found\n", 404)
        if found.group in ("", "events.k8s.io") and found.plural == "events":
            return await reads.empty_events(self._backend, request)
        info = find_plural(found.group, found.plural)
        if info is None or found.version not in info.versions:
            return PlainTextResponse("404 page not found\n", 404)
        if (found.namespace is not None and not info.namespaced) or (
            found.namespace is None and info.namespaced and found.name is not None
        ):
            return PlainTextResponse("404 page not found\n", 404)
        if found.namespace is None and info.namespaced and request.method == "POST":
            raise status.method_not_allowed()
        _authorise(caller, request.method, found, info)
        return await self._resource(Call(self._backend, request, found, info, rules_of(info), caller))

    async def _answer_fixed(self, request: Request, caller: Caller) -> Response | None:
        """What is no resource of the store; None for everything else."""
        if (response := documents.answer(request)) is not None:
            return response
        if self._issuer is not None and (response := workload_tokens.answer_discovery(request, self._issuer)):
            return response
        if self._issuer is not None and (
            reviewed := await workload_tokens.review_token(request, caller, self._backend, self._issuer)
        ):
            return reviewed
        return await reviews.answer(request, caller)

    def _answer_open(self, path: str) -> Response:
        if path.startswith("/version"):
            return json_reply(documents.VERSION)
        ready = path != "/readyz" or self._is_ready()
        return PlainTextResponse("ok" if ready else "not ready", 200 if ready else 503)

    async def _resource(self, call: Call) -> Response:
        try:
            return await self._dispatch(call)
        except MeshError as error:
            raise status.from_error(error, call.info, call.path.name or "") from error

    async def _dispatch(self, call: Call) -> Response:
        if call.path.subresource is not None:
            return await self._subresource(call)
        on_collection = call.path.name is None
        if on_collection and call.request.method == "GET" and parse_boolean(call.query.get("watch")):
            return await watches.watch(call, self._watches)
        operation = (_ON_COLLECTIONS if on_collection else _ON_OBJECTS).get(call.request.method)
        if operation is None:
            raise status.method_not_allowed()
        return await operation(call)

    async def _subresource(self, call: Call) -> Response:
        method, path = call.request.method, call.path
        if path.subresource == "status" and call.info.has_status:
            if method in ("GET", "HEAD"):
                return await reads.get_object(call)
            if method in ("PUT", "PATCH"):
                return await writes.write_status(call)
            raise status.method_not_allowed()
        if path.subresource == "token" and call.info.kind == "ServiceAccount" and self._issuer is not None:
            if method != "POST":
                raise status.method_not_allowed()
            return await workload_tokens.create_token(call, self._issuer)
        raise status.unknown_path()


def _authorise(caller: Caller, method: str, path: ResourcePath, info: KindInfo) -> None:
    need = access.need_of(method, path, info)
    if not caller.allows(Role(need.role), need.namespace):
        why = f"needs the role {need.role}"
        raise status.forbidden(caller.user, access.verb_of(method, path), info, path.name or "", need.namespace, why)
