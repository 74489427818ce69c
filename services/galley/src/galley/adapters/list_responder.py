"""Answers `mesh.config.list`: the whole published state out of SQL, for a consumer that the bucket does not lead to
it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from meshcore.bus.config_list import chunks
from meshcore.bus.connection import BUS_ERRORS, Bus
from meshcore.bus.subjects import CONFIG_LIST
from meshcore.distribution.state_copy import StateCopy, encode_state
from meshcore.errors import MeshError
from nats.aio.msg import Msg

from galley.adapters.store import Store

_log = structlog.get_logger("list-responder")


class ListResponder:
    """One of the replicas answers each request. `repair` is told that a consumer had to ask."""

    def __init__(self, store: Store, bus: Bus, repair: Callable[[], None]) -> None:
        self._store = store
        self._bus = bus
        self._repair = repair
        self._answer: tuple[tuple[str, int, int], bytes] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Answer until cancelled; the client subscribes again by itself after a reconnection."""
        while True:
            await self._bus.connected()
            client = self._bus.client
            subscription = await client.subscribe(CONFIG_LIST, queue="galley", cb=self._on_request)
            try:
                await self._bus.replaced(client)
            finally:
                if client.is_connected:
                    await subscription.unsubscribe()

    async def _on_request(self, message: Msg) -> None:
        if not message.reply:
            return
        try:
            async with self._one_at_a_time:
                data = await self._encoded()
            for headers, part in chunks(data):
                await self._bus.client.publish(message.reply, part, headers=headers)
        except (*BUS_ERRORS, MeshError) as error:
            _log.warning("list not answered", error=type(error).__name__, detail=str(error))
            return
        _log.info("list answered", bytes=len(data))
        self._repair()

    async def _encoded(self) -> bytes:
        """The answer; many consumers that ask at once share its bytes."""
        state = await self._store.published_state()
        key = (state.store_id, state.fencing, state.head.revision)
        if self._answer is None or self._answer[0] != key:
            copy = StateCopy(state.store_id, state.fencing, state.head.revision, state.head.digest, state.records)
            self._answer = (key, await asyncio.to_thread(encode_state, copy))
        return self._answer[1]
