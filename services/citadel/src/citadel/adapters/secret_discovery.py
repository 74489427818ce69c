"""`envoy.service.secret.v3.SecretDiscoveryService` for callers with a client certificate: the trust bundle, pushed;
for those that the operator has named also `kubernetes://` Secrets of their namespace.

What a caller acknowledges is its receipt. A stream ends with its certificate, or when that is revoked. Who unsubscribes
from the bundle before it ends the stream says that it will not present this certificate again.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from cryptography import x509
from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server import Call, Handler, Streaming
from meshcore.runtime import tasks
from meshcore.xds import delta, sotw
from meshcore.xds.effects import Acked, Close, Effect, Nacked, Send
from meshcore.xds.frames import Frames
from meshcore.xds.request import Request
from meshcore.xds.resource import ResourceSet
from meshcore.xds.session import AdsSession
from meshcore.xds.types import SECRET_TYPE

from citadel.adapters.authentication import CallerAuthenticator
from citadel.adapters.gateway_secrets import GatewaySecrets
from citadel.adapters.holders import Holders
from citadel.adapters.trust_bundles import TrustBundle
from citadel.core.caller import AuthenticatedCaller
from citadel.core.refusal import authentication_refused
from citadel.core.trust_bundle import BUNDLE_NAMES, ROOT_NAME

SERVICE_NAME = "envoy.service.secret.v3.SecretDiscoveryService"
_INBOX = 16
LONGEST_NODE = 512
MOST_REMEMBERED = 64
"""Revisions of which a stream knows the bundle: it has one unanswered message, so an answer is to a recent one."""
_log = structlog.get_logger("sds")


FirstRoot = Callable[[AuthenticatedCaller], x509.Certificate | None]
"""The root that a holder's certificates lead to; None for the mesh's own."""


def _own_root(_: AuthenticatedCaller) -> None:
    return None


class SecretDiscovery:
    """Serves `ROOTCA`, and the roots of others, over delta and state-of-the-world streams.

    Every other name stays unanswered.
    """

    def __init__(
        self,
        authenticator: CallerAuthenticator,
        bundle: TrustBundle,
        holders: Holders,
        secrets: GatewaySecrets | None = None,
        first_root: FirstRoot = _own_root,
    ) -> None:
        self._authenticator = authenticator
        self._first_root = first_root
        self._bundle = bundle
        self._holders = holders
        self._secrets = secrets
        self._frames = {delta: Frames(), sotw: Frames()}

    @property
    def handlers(self) -> dict[str, Handler]:
        """Its methods by their paths."""
        return {
            f"/{SERVICE_NAME}/DeltaSecrets": Streaming(partial(self._serve, delta)),
            f"/{SERVICE_NAME}/StreamSecrets": Streaming(partial(self._serve, sotw)),
        }

    async def _serve(self, front: Any, call: Call) -> None:
        caller = self._authenticator.by_certificate(call.peer, [])
        if caller is None:
            raise authentication_refused()
        session = AdsSession(front, self._frames[front])
        receipts = _Receipts(self._holders, caller)
        revoked = partial(self._authenticator.is_revoked, call.peer)
        first_root = partial(self._first_root, caller)
        await _Stream(call, front, session, self._bundle, receipts, self._secrets, revoked, first_root).run()


class _Receipts:
    """What one stream tells of its holder; it is known by its node's id from the first request on."""

    def __init__(self, holders: Holders, caller: AuthenticatedCaller) -> None:
        self._holders = holders
        self.caller = caller
        self.identity = str(caller.identity)
        self.node = ""
        self._stream: object | None = None
        self._released = False

    def requested(self, request: Request, node: Any) -> None:
        if self._stream is None:
            self.node = str(node.id)[:LONGEST_NODE]
            ends = self.caller.proof_ends or datetime.now(UTC)
            self._stream = self._holders.arrived(
                self.identity, self.node, self.caller.proof_serial, self.caller.proof_signer, ends
            )
        self._released = ROOT_NAME in request.unsubscribe or (self._released and ROOT_NAME not in request.subscribe)

    def acknowledged(self, digest: str) -> None:
        if self._stream is not None and digest:
            self._holders.acknowledged(self.identity, self.node, self._stream, digest)

    def ended(self) -> None:
        if self._stream is not None:
            self._holders.left(self.identity, self.node, self._stream, released=self._released)


class _Stream:
    def __init__(
        self,
        call: Call,
        front: Any,
        session: AdsSession,
        bundle: TrustBundle,
        receipts: _Receipts,
        secrets: GatewaySecrets | None,
        is_revoked: Callable[[], bool],
        first_root: Callable[[], x509.Certificate | None],
    ) -> None:
        self._call = call
        self._first_root = first_root
        self._is_revoked = is_revoked
        self._parse = front.parse
        self._session = session
        self._bundle = bundle
        self._receipts = receipts
        self._secrets = secrets
        self._asked: frozenset[str] = frozenset()
        self._revision = 0
        self._digests: dict[int, str] = {}
        self._inbox: deque[Request] = deque(maxlen=_INBOX)
        self._wake = asyncio.Event()
        self._ended = False
        self._refused: MeshError | None = None

    async def run(self) -> None:
        """Serve until the client or its certificate ends; MeshError when it asks for what it may not."""
        ends = self._receipts.caller.proof_ends
        left = None if ends is None else max(0.0, (ends - datetime.now(UTC)).total_seconds())
        try:
            async with asyncio.timeout(left):
                await self._serve()
        except TimeoutError:
            _log.info("stream ended with its certificate", holder=self._receipts.identity, node=self._receipts.node)
        finally:
            self._receipts.ended()
        if self._refused is not None:
            raise self._refused

    async def _serve(self) -> None:
        shown: tuple[int, int, frozenset[str]] | None = None
        with self._bundle.watched_by(self._wake), self._watching_secrets():
            async with tasks.background(self._read(), name="sds reader"):
                while not (self._ended and not self._inbox):
                    self._wake.clear()
                    generation = 0 if self._secrets is None else self._secrets.generation
                    state = (self._bundle.revision, generation, self._asked)
                    if shown != state:
                        if self._is_revoked():
                            raise authentication_refused()  # the lists come with the roots
                        shown = state
                        await self._execute(self._retarget())
                    while self._inbox:
                        request = self._inbox.popleft()
                        await self._execute(self._session.request_received(request, time.monotonic()))
                        self._note_names()
                    if not self._ended:
                        await self._wake.wait()

    async def _read(self) -> None:
        try:
            while (data := await self._call.read()) is not None:
                request, node = self._parse(data)
                self._receipts.requested(request, node)
                if request.type_url and request.type_url != SECRET_TYPE:
                    self._refused = MeshError(ErrorCode.INVALID, "this service serves secrets only")
                elif len(self._inbox) == _INBOX:
                    self._refused = MeshError(ErrorCode.RESOURCE_EXHAUSTED, "requests come faster than answers")
                else:
                    self._has_already(request)
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
                await self._call.write(effect.frame)
            elif isinstance(effect, Close):
                raise MeshError(effect.code, effect.detail)
            elif isinstance(effect, Acked):
                self._receipts.acknowledged(self._digests.get(effect.revision, ""))
                _log.debug("trust bundle acknowledged", holder=self._receipts.identity, revision=effect.revision)
            elif isinstance(effect, Nacked):
                _log.warning(
                    "trust bundle refused",
                    holder=self._receipts.identity,
                    node=self._receipts.node,
                    code=effect.code,
                    message=effect.message,
                )

    def _has_already(self, request: Request) -> None:
        """Who comes back with the present version is not sent it again, and has it."""
        version = request.initial_versions.get(ROOT_NAME)
        if version and version == self._roots.of_type(SECRET_TYPE)[ROOT_NAME].version:
            self._receipts.acknowledged(self._bundle.digest)

    @property
    def _roots(self) -> ResourceSet:
        return self._bundle.resources(self._first_root())

    def _retarget(self) -> tuple[Effect, ...]:
        """What the stream is to have now."""
        self._revision += 1
        self._digests[self._revision] = self._bundle.digest
        self._digests.pop(self._revision - MOST_REMEMBERED, None)
        target = self._roots
        if self._secrets is not None and self._asked:
            served = self._secrets.resources(self._receipts.caller.identity, self._asked)
            target = ResourceSet.of((*target.of_type(SECRET_TYPE).values(), *served.values()))
        return self._session.resources_changed(target, self._revision, time.monotonic())

    def _note_names(self) -> None:
        """What the stream watches besides the bundle."""
        channel = self._session.channels.get(SECRET_TYPE)
        names = frozenset() if channel is None else frozenset(channel.subscription.names) - BUNDLE_NAMES
        if names != self._asked and self._secrets is not None:
            self._secrets.want(self._receipts.caller.identity, self._asked, names)
            self._asked = names
            self._wake.set()

    @contextlib.contextmanager
    def _watching_secrets(self) -> Iterator[None]:
        if self._secrets is None:
            yield
            return
        with self._secrets.watched_by(self._wake):
            try:
                yield
            finally:
                self._secrets.want(self._receipts.caller.identity, self._asked, ())


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
