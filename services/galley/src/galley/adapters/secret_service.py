"""`meshcore.secrets.v1.SecretService/Watch`: Secrets by reference, to Pilot and Citadel, on the mTLS port."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from meshcore._generated.meshcore.secrets.v1 import secrets_pb2
from meshcore.distribution.keys import Key
from meshcore.errors import GRPC_STATUS, ErrorCode, MeshError
from meshcore.runtime import tasks
from meshcore.tls import LiveIdentity, spiffe_of_certificate, unrevoked_chain, until_revoked

from galley.adapters.store import Store
from galley.core.confidential import is_confidential
from galley.core.mcp.access import AllowedIdentities
from galley.core.secret_watch import MESH_CONFIG, SecretWatch, certificate_data, trust_domain_aliases
from galley.core.storage import ChangeSet

SERVICE = "meshcore.secrets.v1.SecretService"
_State = secrets_pb2.SecretUpdate
NO_SECRET = Key("", "secrets", "", "")
"""Stands for a revision with nothing but Secrets in it: all that it changed of the watched ones has been told. Others
are published, so consumers know of them."""
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_log = structlog.get_logger("secrets")


def secret_handler(store: Store, allowed: AllowedIdentities, trust_domain: str, identity: LiveIdentity) -> Any:
    """The generic handler; a stream ends with its certificate, or when that is revoked."""

    async def watch(_: Any, context: Any) -> None:
        try:
            chain = unrevoked_chain(context, identity)
            peer = spiffe_of_certificate(chain[0]) if chain else None
            allowed.check(peer)
            left = (chain[0].not_valid_after_utc - datetime.now(UTC)).total_seconds()
            _log.info("stream began", peer=str(peer))
            async with until_revoked(identity, chain):
                reason = await _Stream(store, context, SecretWatch(trust_domain)).serve(time.monotonic() + left)
            _log.info("stream ended", peer=str(peer), reason=reason)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is no WatchRequest")
        except MeshError as error:
            _log.warning("stream refused", peer=context.peer(), code=error.code.value, detail=error.detail)
            await context.abort(_CODES[GRPC_STATUS[error.code]], error.detail)

    return grpc.method_handlers_generic_handler(SERVICE, {"Watch": grpc.stream_stream_rpc_method_handler(watch)})


class _Stream:
    """One consumer. What changes while something is written is written after it, in order."""

    def __init__(self, store: Store, context: Any, watch: SecretWatch) -> None:
        self._store = store
        self._context = context
        self._watch = watch

    async def serve(self, expires: float) -> str:
        changes = self._store.subscribe(await self._store.revision())
        coming: asyncio.Task[Any] = tasks.create_task(_read(self._context), name="secrets read")
        moving: asyncio.Task[Any] = tasks.create_task(_next(changes), name="secrets changes")
        try:
            while (left := expires - time.monotonic()) > 0:
                await asyncio.wait((coming, moving), timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    data = coming.result()
                    if data is grpc.aio.EOF or isinstance(data, grpc.RpcError):
                        return "peer ended"
                    coming = tasks.create_task(_read(self._context), name="secrets read")
                    await self._asked(secrets_pb2.WatchRequest.FromString(data))
                if moving.done():
                    found = moving.result()
                    if found is None:
                        return "store closed"
                    if isinstance(found, MeshError):
                        raise found  # compacted: the consumer comes again and is told everything
                    moving = tasks.create_task(_next(changes), name="secrets changes")
                    await self._tell(self._watch.touched(found.changes))
                    if not found.is_config and any(is_confidential(change.key) for change in found.changes):
                        await self._write(NO_SECRET, _State.STATE_UNSPECIFIED, str(found.revision))
            return "certificate ended"
        finally:
            await tasks.cancel(coming, moving)
            await changes.aclose()  # type: ignore[attr-defined]

    async def _asked(self, request: Any) -> None:
        self._watch.unsubscribe((item.namespace, item.name) for item in request.unsubscribe)
        references = ((item.namespace, item.name, item.requesters) for item in request.subscribe)
        asked = self._watch.subscribe(references, await self._aliases())
        for key in asked.refused:
            _log.warning("reference refused", config=f"Secret/{key.namespace}/{key.name}")
            await self._write(key, _State.REFUSED)
        await self._tell(asked.allowed)

    async def _aliases(self) -> frozenset[str]:
        """As MeshConfig has them now. Who was refused before there was an alias has opened no stream at Pilot then."""
        try:
            return trust_domain_aliases((await self._store.get(MESH_CONFIG)).document())
        except MeshError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            return frozenset()

    async def _tell(self, keys: Iterable[Key]) -> None:
        for key in keys:
            try:
                stored = await self._store.get(key)
            except MeshError as error:
                if error.code is not ErrorCode.NOT_FOUND:
                    raise
                await self._write(key, _State.ABSENT)
                continue
            try:
                document = self._store.reveal(stored).document()
            except MeshError as error:
                _log.error("secret cannot be read", config=f"Secret/{key.namespace}/{key.name}", code=error.code.value)
                await self._write(key, _State.UNREADABLE, str(stored.revision))
            else:
                await self._write(key, _State.PRESENT, str(stored.revision), certificate_data(document))

    async def _write(self, key: Key, state: int, version: str = "", data: dict[str, bytes] | None = None) -> None:
        update = _State(namespace=key.namespace, name=key.name, state=state, resource_version=version, data=data or {})
        await self._context.write(update.SerializeToString())


async def _read(context: Any) -> Any:
    """The next message, the end, or the error that broke the stream: a value, because nobody may be left to await."""
    try:
        return await context.read()
    except grpc.aio.AioRpcError as error:
        return error


async def _next(changes: Any) -> ChangeSet | MeshError | None:
    try:
        found: ChangeSet | None = await anext(changes, None)
        return found
    except MeshError as error:
        return error
