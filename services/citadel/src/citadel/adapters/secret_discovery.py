"""`envoy.service.secret.v3.SecretDiscoveryService` for callers with a client certificate: the trust bundle, pushed."""

import asyncio
import time
from collections import deque
from typing import Any

import grpc
import grpc.aio
import structlog
from meshcore.errors import GRPC_STATUS, ErrorCode, MeshError
from meshcore.runtime import tasks
from meshcore.xds import delta, sotw
from meshcore.xds.effects import Acked, Close, Effect, Nacked, Send
from meshcore.xds.frames import Frames
from meshcore.xds.request import Request
from meshcore.xds.session import AdsSession
from meshcore.xds.types import SECRET_TYPE

from citadel.adapters.authentication import CallerAuthenticator
from citadel.adapters.trust_bundles import TrustBundle
from citadel.core.refusal import authentication_refused

SERVICE_NAME = "envoy.service.secret.v3.SecretDiscoveryService"
_STATUS = {status.value[0]: status for status in grpc.StatusCode}
_INBOX = 16
_log = structlog.get_logger("sds")


class SecretDiscovery(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Serves `ROOTCA` over delta and state-of-the-world streams; every other name stays unanswered."""

    def __init__(self, authenticator: CallerAuthenticator, bundle: TrustBundle) -> None:
        self._authenticator = authenticator
        self._bundle = bundle
        self._frames = {delta: Frames(), sotw: Frames()}

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method, or None for what is not ours."""
        fronts = {f"/{SERVICE_NAME}/DeltaSecrets": delta, f"/{SERVICE_NAME}/StreamSecrets": sotw}
        front = fronts.get(handler_call_details.method)
        if front is None:
            return None

        async def serve(_: Any, context: Any) -> None:
            await self._serve(front, context)

        return grpc.stream_stream_rpc_method_handler(serve)

    async def _serve(self, front: Any, context: Any) -> None:
        caller = self._authenticator.by_certificate(context, [])
        if caller is None:
            error = authentication_refused()
            await context.abort(_STATUS[GRPC_STATUS[error.code]], error.detail)
            return
        stream = _Stream(context, front, AdsSession(front, self._frames[front]), self._bundle, str(caller.identity))
        try:
            await stream.run()
        except MeshError as error:
            await context.abort(_STATUS[GRPC_STATUS[error.code]], error.detail)


class _Stream:
    def __init__(self, context: Any, front: Any, session: AdsSession, bundle: TrustBundle, holder: str) -> None:
        self._context = context
        self._parse = front.parse
        self._session = session
        self._bundle = bundle
        self._holder = holder
        self._inbox: deque[Request] = deque(maxlen=_INBOX)
        self._wake = asyncio.Event()
        self._ended = False
        self._refused: MeshError | None = None

    async def run(self) -> None:
        """Serve until the client ends the stream; MeshError when it asks for what it may not."""
        shown = 0
        with self._bundle.watched_by(self._wake):
            async with tasks.background(self._read(), name="sds reader"):
                while not (self._ended and not self._inbox):
                    self._wake.clear()
                    if shown != self._bundle.revision:
                        shown = self._bundle.revision
                        await self._execute(
                            self._session.resources_changed(self._bundle.resources, shown, time.monotonic())
                        )
                    while self._inbox:
                        request = self._inbox.popleft()
                        await self._execute(self._session.request_received(request, time.monotonic()))
                    if not self._ended:
                        await self._wake.wait()
        if self._refused is not None:
            raise self._refused

    async def _read(self) -> None:
        try:
            while (data := await self._context.read()) is not grpc.aio.EOF:
                request, _ = self._parse(data)
                if request.type_url and request.type_url != SECRET_TYPE:
                    self._refused = MeshError(ErrorCode.INVALID, "this service serves secrets only")
                elif len(self._inbox) == _INBOX:
                    self._refused = MeshError(ErrorCode.RESOURCE_EXHAUSTED, "requests come faster than answers")
                else:
                    self._inbox.append(_with_type(request))
                if self._refused is not None:
                    return
                self._wake.set()
        finally:
            self._ended = True
            self._wake.set()

    async def _execute(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                await self._context.write(effect.frame)
            elif isinstance(effect, Close):
                raise MeshError(effect.code, effect.detail)
            elif isinstance(effect, Acked):
                _log.debug("trust bundle acknowledged", holder=self._holder, revision=effect.revision)
            elif isinstance(effect, Nacked):
                _log.warning("trust bundle refused", holder=self._holder, code=effect.code, message=effect.message)


def _with_type(request: Request) -> Request:
    """A service of one type may be asked without naming it."""
    if request.type_url:
        return request
    return Request(
        type_url=SECRET_TYPE,
        nonce=request.nonce,
        rejection=request.rejection,
        subscribe=request.subscribe,
        unsubscribe=request.unsubscribe,
        initial_versions=request.initial_versions,
    )
