"""A watch of a JetStream KV bucket: the last value of every key, a mark, then every change; broken by a reconnection.

Written over an ordered consumer rather than the client's own watcher, because a watch must end at once when the
connection was lost: a resumed one needs 17 s to notice what it missed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any

from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy
from nats.js.kv import KV_MARKER_REASON, KV_OP

from meshcore.bus.connection import BUS_ERRORS, Bus


@dataclass(frozen=True, slots=True)
class BucketEntry:
    """One value of one key, or the mark that the key was deleted or purged (`value` is None)."""

    key: str
    value: bytes | None
    sequence: int


class Mark(Enum):
    """What a watch says beside entries."""

    LISTED = "listed"
    """Everything that the bucket held when the watch began was shown."""
    QUIET = "quiet"
    """Nothing came within the given time."""
    BROKEN = "broken"
    """The connection was lost; this watch shows nothing more."""


class BucketWatch:
    """Use as `async with BucketWatch(bus, bucket) as watch`; entering raises the client's NotFoundError without the
    bucket."""

    def __init__(self, bus: Bus, bucket: str) -> None:
        self._bus = bus
        self._bucket = bucket
        self._prefix = f"$KV.{bucket}."
        self._items: deque[BucketEntry | Mark] = deque()
        self._news = asyncio.Event()
        self._listed = False
        self._subscription: Any = None
        self._reconnects = bus.on_reconnect(self._break)

    async def __aenter__(self) -> BucketWatch:
        self._reconnects.__enter__()
        try:
            self._subscription = await self._bus.jetstream().subscribe(
                f"{self._prefix}>",
                stream=f"KV_{self._bucket}",
                cb=self._on_message,
                ordered_consumer=True,
                deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
                inactive_threshold=30.0,
                pending_msgs_limit=-1,
                pending_bytes_limit=-1,
            )
            info = await self._subscription.consumer_info()
            # What the server has sent may arrive after this answer; the last of it marks the end of the list itself.
            sent = info.delivered.consumer_seq if info.delivered is not None else 0
            if info.num_pending == 0 and not sent and not self._subscription.delivered:
                self._mark_listed()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._reconnects.__exit__(None, None, None)
        if self._subscription is not None and not self._bus.client.is_closed:
            try:
                await self._subscription.unsubscribe()
            except BUS_ERRORS:
                self._items.clear()

    async def next(self, timeout: float) -> BucketEntry | Mark:
        """The next entry or mark; QUIET after `timeout` seconds of nothing."""
        if not self._items:
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait()
            except TimeoutError:
                return Mark.QUIET
        item = self._items[0]
        if item is not Mark.BROKEN:
            self._items.popleft()
        if not self._items:
            self._news.clear()
        return item

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        gone = KV_OP in headers or KV_MARKER_REASON in headers
        metadata = message.metadata
        key = message.subject[len(self._prefix) :]
        self._put(BucketEntry(key, None if gone else message.data, metadata.sequence.stream))
        if metadata.num_pending == 0:
            self._mark_listed()

    def _mark_listed(self) -> None:
        if not self._listed:
            self._listed = True
            self._put(Mark.LISTED)

    def _break(self) -> None:
        self._items.clear()
        self._put(Mark.BROKEN)

    def _put(self, item: BucketEntry | Mark) -> None:
        if not (self._items and self._items[0] is Mark.BROKEN):
            self._items.append(item)
            self._news.set()
