"""Secrets for gateways and proxies without an agent: `kubernetes://` names, taken from Galley by reference.

Only identities that the operator has named are given any, and of their own namespace only. What was good last stays in
use when a Secret breaks or goes, and while Galley is away. Everything is in memory only.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
import structlog
from meshcore._generated.meshcore.secrets.v1 import secrets_pb2, secrets_pb2_grpc
from meshcore.identity import SpiffeId
from meshcore.runtime import tasks
from meshcore.tls import LiveIdentity, grpc_channel_credentials
from meshcore.xds.resource import Resources
from meshcore.xds.secret_book import SecretBook, SecretName, SecretState, permitted

_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
MOST_NAMES = 1000
"""Names that one stream may ask for."""
_State = secrets_pb2.SecretUpdate
_WHY = {
    _State.ABSENT: "there is none",
    _State.REFUSED: "Galley does not give it to this proxy",
    _State.UNREADABLE: "Galley cannot decrypt it",
}
_log = structlog.get_logger("gateway-secrets")


class GatewaySecrets:
    """`readers` are `namespace/service-account`; `run` belongs into the service's task group."""

    def __init__(self, address: str, identity: LiveIdentity, readers: Collection[str]) -> None:
        self._address = address
        self._identity = identity
        self._readers = frozenset(readers)
        self._book = SecretBook()
        self._wanted: Counter[tuple[SecretName, str]] = Counter()
        self._changed = asyncio.Event()
        self._watchers: set[asyncio.Event] = set()

    def may_read(self, caller: SpiffeId) -> bool:
        """Whether this identity is given Secrets at all."""
        return f"{caller.namespace}/{caller.service_account}" in self._readers

    @property
    def generation(self) -> int:
        """Moves with whatever may be served otherwise than before."""
        return self._book.generation

    def resources(self, caller: SpiffeId, names: Collection[str]) -> Resources:
        """What a caller is served of the names that it has asked for."""
        if not self.may_read(caller):
            return {}
        served = frozenset(sorted(names)[:MOST_NAMES])
        for name, problem in self._book.problems(served, caller.namespace).items():
            _log.warning("secret is not served as it is", resource=name, namespace=caller.namespace, reason=problem)
        return self._book.resources(served, caller.namespace)

    @contextmanager
    def watched_by(self, wake: asyncio.Event) -> Iterator[None]:
        """Set `wake` when a Secret changes while the block lasts."""
        self._watchers.add(wake)
        try:
            yield
        finally:
            self._watchers.discard(wake)

    def want(self, caller: SpiffeId, before: Collection[str], names: Collection[str]) -> None:
        """A stream's names were those, and are these now."""
        if not self.may_read(caller):
            return
        who = str(caller)
        for sign, of in ((-1, before), (1, names)):
            for name in sorted(of)[:MOST_NAMES]:
                reference = permitted(name, caller.namespace)
                if reference is not None:
                    self._wanted.update({((reference.namespace, one), who): sign for one in reference.names})
        self._wanted = +self._wanted
        self._changed.set()

    async def run(self) -> None:
        """Never returns. Nothing is dialled before somebody wants a Secret."""
        pause = tasks.FIRST_BACKOFF
        while True:
            while not self._wanted:
                await self._changed.wait()
                self._changed.clear()
            try:
                await self._watch()
            except (grpc.RpcError, ConnectionError, asyncio.InvalidStateError) as error:
                code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
                _log.warning("no secrets from galley, what is known stays in use", code=code, galley=self._address)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads reconnects
            pause = min(pause * 2, tasks.LAST_BACKOFF)

    async def _watch(self) -> None:
        credentials = grpc_channel_credentials(self._identity.current)
        async with grpc.aio.secure_channel(self._address, credentials, options=_OPTIONS) as channel:
            call = secrets_pb2_grpc.SecretServiceStub(channel).Watch()
            asked: Mapping[SecretName, frozenset[str]] = {}
            async with tasks.background(self._read(call), name="secrets read") as reader:
                while not reader.done():
                    self._changed.clear()
                    asked = await self._ask(call, asked)
                    async with tasks.background(self._changed.wait(), name="secrets wanted") as changed:
                        await asyncio.wait((changed, reader), return_when=asyncio.FIRST_COMPLETED)
                reader.result()

    async def _ask(self, call: Any, asked: Mapping[SecretName, frozenset[str]]) -> Mapping[SecretName, frozenset[str]]:
        wanted: dict[SecretName, set[str]] = {}
        for name, who in self._wanted:
            wanted.setdefault(name, set()).add(who)
        request = secrets_pb2.WatchRequest()
        for name, requesters in sorted(wanted.items()):
            if asked.get(name, frozenset()) != frozenset(requesters):
                request.subscribe.add(namespace=name[0], name=name[1], requesters=sorted(requesters))
        gone = frozenset(asked) - frozenset(wanted)
        for namespace, lost in sorted(gone):
            request.unsubscribe.add(namespace=namespace, name=lost)
        if gone:
            self._book.forget(gone)
        if request.ByteSize():
            await call.write(request)
        return {name: frozenset(requesters) for name, requesters in wanted.items()}

    async def _read(self, call: Any) -> None:
        while (update := await call.read()) is not grpc.aio.EOF:
            if not update.name:
                continue  # a revision, which nobody here waits for
            present = update.state == _State.PRESENT
            why = "" if present else _WHY.get(update.state, "its state is not known here")
            state = SecretState(update.resource_version, dict(update.data) if present else None, why)
            if self._book.take((update.namespace, update.name), state):
                for watcher in self._watchers:
                    watcher.set()
        raise ConnectionError("galley ended the watch of secrets")
