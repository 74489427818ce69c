"""Takes the Secrets that config refers to from Galley, by reference, for the proxies that are connected here."""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
import structlog
from meshcore._generated.meshcore.secrets.v1 import secrets_pb2, secrets_pb2_grpc
from meshcore.runtime import tasks
from meshcore.tls import LiveIdentity, grpc_channel_credentials
from meshcore.xds.secret_book import SecretName, SecretState

from pilot.adapters import telemetry
from pilot.adapters.hub import Hub

_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_WHY = {
    secrets_pb2.SecretUpdate.ABSENT: "there is none",
    secrets_pb2.SecretUpdate.REFUSED: "Galley does not give it to these proxies",
    secrets_pb2.SecretUpdate.UNREADABLE: "Galley cannot decrypt it",
}
_log = structlog.get_logger("secrets")


class SecretSource:
    """One watch at Galley, opened again whenever it ends. Without Galley, what is known stays in use."""

    def __init__(self, hub: Hub, address: str, identity: LiveIdentity) -> None:
        self._hub = hub
        self._address = address
        self._identity = identity
        self._asked: Mapping[SecretName, frozenset[str]] = {}
        self._reported: Mapping[tuple[str, str], str] = {}

    async def run(self) -> None:
        """Never returns. Pilot is ready without Galley, so a failure is logged and no more."""
        pause = tasks.FIRST_BACKOFF
        while True:
            began = time.monotonic()
            try:
                await self._watch()
            except (grpc.RpcError, ConnectionError, asyncio.InvalidStateError) as error:
                code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
                _log.warning("no secrets from galley, what is known stays in use", code=code, galley=self._address)
            if time.monotonic() - began > tasks.SETTLED_AFTER:
                pause = tasks.FIRST_BACKOFF
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads reconnects
            pause = min(pause * 2, tasks.LAST_BACKOFF)

    async def _watch(self) -> None:
        """Open even while no config refers to a Secret: Galley tells which revisions were about Secrets alone."""
        credentials = grpc_channel_credentials(self._identity.current)
        async with grpc.aio.secure_channel(self._address, credentials, options=_OPTIONS) as channel:
            call = secrets_pb2_grpc.SecretServiceStub(channel).Watch()
            self._asked = {}
            async with tasks.background(self._read(call), name="secrets read") as reader:
                while not reader.done():
                    await self._ask(call)
                    await self._wanted_or(reader)
                reader.result()

    async def _ask(self, call: Any) -> None:
        """Tell Galley what has come and gone since it was asked last."""
        wanted = self._hub.engine.wanted_secrets()
        request = secrets_pb2.WatchRequest()
        for name, identities in wanted.items():
            if self._asked.get(name) != identities:
                request.subscribe.add(namespace=name[0], name=name[1], requesters=sorted(identities))
        gone = frozenset(self._asked) - frozenset(wanted)
        for namespace, lost in sorted(gone):
            request.unsubscribe.add(namespace=namespace, name=lost)
        self._asked = wanted
        if gone:
            self._hub.engine.secrets.forget(gone)
        if request.ByteSize():
            await call.write(request)
        self._report()

    async def _read(self, call: Any) -> None:
        while (update := await call.read()) is not grpc.aio.EOF:
            name = (update.namespace, update.name)
            if not update.name:
                self._hub.take_secret_revision(int(update.resource_version))
                continue
            present = update.state == secrets_pb2.SecretUpdate.PRESENT
            absent = update.state == secrets_pb2.SecretUpdate.ABSENT
            why = "" if present else _WHY.get(update.state, "its state is not known here")
            telemetry.SECRET_UPDATES.labels(secrets_pb2.SecretUpdate.State.Name(update.state).lower()).inc()
            if name in self._asked:
                data = dict(update.data) if present else None
                self._hub.take_secret(name, SecretState(update.resource_version, data, why, deleted=absent))
                self._report()
        raise ConnectionError("galley ended the watch of secrets")

    def _report(self) -> None:
        """Log what cannot be served, once; never what is in it."""
        found = self._hub.engine.secret_problems()
        for (name, namespace), problem in found.items():
            if self._reported.get((name, namespace)) != problem:
                _log.warning("secret is not served as it is", resource=name, namespace=namespace, reason=problem)
        self._reported = found
        telemetry.SECRET_PROBLEMS.set(len(found))

    async def _wanted_or(self, reader: "asyncio.Task[None]") -> None:
        event = self._hub.secrets_wanted
        waiting = tasks.create_task(event.wait(), name="secrets wanted")
        try:
            await asyncio.wait((waiting, reader), return_when=asyncio.FIRST_COMPLETED)
            event.clear()
        finally:
            await tasks.cancel(waiting)
