"""Reports access records to Citadel: in batches, over mTLS, for as long as it takes, and never in traffic's way.

While Citadel is away, or its store is full, records wait in a bounded queue; what finds no room there is counted, shown
and told to Citadel with the next batch that it takes.
"""

import asyncio
import contextlib
import random
import secrets
from typing import Any

import grpc
import grpc.aio
import structlog
from meshcore import metrics
from meshcore._generated.meshcore.audit.v1 import audit_pb2, audit_pb2_grpc
from meshcore.access_record import LARGEST_BATCH
from meshcore.tls import ServiceIdentity, grpc_channel_credentials

from envoy_bootstrap.adapters.workload_identity import WorkloadIdentity
from envoy_bootstrap.core.addresses import HostPort
from envoy_bootstrap.core.audit_queue import AuditQueue, Batch
from envoy_bootstrap.core.back_off import AUDIT_BACK_OFF

_log = structlog.get_logger("audit")
_SENT = metrics.counter("istio_agent_audit_records_sent_total", "Access records that Citadel has stored.")
_DROPPED = metrics.counter("istio_agent_audit_records_dropped_total", "Access records that are lost.", ["reason"])
_QUEUED = metrics.gauge("istio_agent_audit_records_queued", "Access records that wait for Citadel.")
_FAILED = metrics.counter("istio_agent_audit_reports_failed_total", "Reports that Citadel did not take.", ["code"])
QUEUE_FULL, REFUSED = "queue-full", "refused"
_FILL = 0.5
"""Seconds in which a batch may fill up."""
_MOST_BYTES = 200 * 1024
_CALL_TIMEOUT = 10.0
_LAST_WORDS = 2.0
_OPTIONS = (("grpc.client_idle_timeout_ms", 60000),)
"""A workload of which nothing is refused keeps no connection open."""
_NEVER_TAKEN = frozenset(
    {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED}
)


class AuditReporter:
    """One workload's records on their way to Citadel; `run` belongs into the agent's task group."""

    def __init__(self, address: HostPort, identity: WorkloadIdentity, node_id: str, limit: int) -> None:
        self._address = address
        self._identity = identity
        self._node_id = node_id
        self._queue = AuditQueue(limit)
        self._some = asyncio.Event()
        self._batch_id = ""
        self._sending = asyncio.Lock()
        self._channel: Any = None
        self._channel_of: ServiceIdentity | None = None
        self._sent = 0
        self._dropped = 0
        self._failure = ""
        for reason in (QUEUE_FULL, REFUSED):
            _DROPPED.labels(reason)  # a series that is there from the start can be watched for growth
        _QUEUED.set_function(lambda: len(self._queue))

    def keep(self, record: Any) -> None:
        """Queue a record, or count its loss."""
        if self._queue.offer(record):
            self._some.set()
        else:
            self._dropped += 1
            _DROPPED.labels(QUEUE_FULL).inc()

    def status(self) -> dict[str, Any]:
        """What the agent's status page shows; `failure` is empty while Citadel takes what it is sent."""
        return {
            "queued": len(self._queue),
            "limit": self._queue.limit,
            "sent": self._sent,
            "dropped": self._dropped,
            "failure": self._failure,
        }

    async def run(self) -> None:
        """Send for ever."""
        attempt = 0
        while True:
            await self._some.wait()
            await asyncio.sleep(_FILL)
            if await self._send_next():
                attempt = 0
                continue
            await asyncio.sleep(AUDIT_BACK_OFF.delay(attempt, random.random()))  # noqa: S311 - spreads a fleet
            attempt += 1

    async def last_words(self) -> None:
        """Send what is queued when the workload leaves, as far as that is quickly done."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                while self._some.is_set() and await self._send_next():
                    pass
        if len(self._queue):
            _log.warning("access records not sent", records=len(self._queue), reason=self._failure or "no time")
        await self._close()

    async def _send_next(self) -> bool:
        """Send the batch under way, or the next one; False when it must be sent again later."""
        async with self._sending:
            return await self._send()

    async def _send(self) -> bool:
        batch = self._queue.take(LARGEST_BATCH, _MOST_BYTES)
        if batch is None:
            self._some.clear()
            return True
        self._batch_id = self._batch_id or secrets.token_hex(16)
        try:
            await self._report(batch)
        except grpc.aio.AioRpcError as error:
            code = error.code()
            _FAILED.labels(code.name).inc()
            self._tell(f"{code.name}: {(error.details() or '')[:200]}")
            if code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                # The next try meets Citadel anew: it may have moved. One that is busy is spared the handshake.
                await self._close()
            if code not in _NEVER_TAKEN:
                return False
            lost = self._queue.refused()
            self._dropped += lost
            _DROPPED.labels(REFUSED).inc(lost)
        else:
            self._queue.accepted()
            self._sent += len(batch.records)
            _SENT.inc(len(batch.records))
            self._tell("")
        self._batch_id = ""
        return True

    async def _report(self, batch: Batch) -> None:
        request = audit_pb2.ReportRequest(
            batch_id=self._batch_id, node_id=self._node_id, records=batch.records, lost=batch.lost
        )
        stub = audit_pb2_grpc.AuditServiceStub(await self._connection())
        await stub.Report(request, timeout=_CALL_TIMEOUT)

    async def _connection(self) -> Any:
        identity = await self._identity.wait()
        if self._channel is None or identity is not self._channel_of:
            await self._close()
            credentials = grpc_channel_credentials(identity)
            self._channel = grpc.aio.secure_channel(str(self._address), credentials, options=_OPTIONS)
            self._channel_of = identity
        return self._channel

    async def _close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _tell(self, failure: str) -> None:
        """Log a change, not every try."""
        if failure and not self._failure:
            _log.warning("citadel does not take access records", reason=failure)
        elif self._failure and not failure:
            _log.info("citadel takes access records again", dropped=self._dropped)
        self._failure = failure
