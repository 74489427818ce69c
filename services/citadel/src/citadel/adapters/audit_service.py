"""`meshcore.audit.v1.AuditService`: takes access records from agents that prove who they are by certificate."""

import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import structlog
from meshcore._generated.meshcore.audit.v1 import audit_pb2
from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server import Call, Handler, Unary
from meshcore.rate import TokenBucket

from citadel.adapters import telemetry
from citadel.adapters.access_log import AccessLog, Batch
from citadel.adapters.authentication import CallerAuthenticator
from citadel.core.access_report import rows_of
from citadel.core.refusal import authentication_refused

METHOD = "/meshcore.audit.v1.AuditService/Report"
_MOST_REPORTERS = 16384
"""Reporters whose rate is remembered; the one that was silent the longest starts anew."""
_SECONDS_SAVED = 10
_LARGEST_LOSS = 2**40
_log = structlog.get_logger("audit")


class AuditService:
    """Authenticates, checks, appends, answers. `rate` is records a second of one identity, with bursts of ten."""

    def __init__(self, authenticator: CallerAuthenticator, access_log: AccessLog, rate: float) -> None:
        self._authenticator = authenticator
        self._access_log = access_log
        self._rate = rate
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    @property
    def handlers(self) -> dict[str, Handler]:
        """Its methods by their paths."""
        return {METHOD: Unary(audit_pb2.ReportRequest.FromString, self.report)}

    async def report(self, request: Any, call: Call) -> Any:
        """Store a batch once."""
        try:
            stored = await self._report(request, call)
        except MeshError as error:
            telemetry.ACCESS_REFUSED.labels(error.code.value).inc()
            if error.code is not ErrorCode.RESOURCE_EXHAUSTED:
                _log.info("access records refused", reason=error.detail)
            raise
        return audit_pb2.ReportResponse(stored=stored)

    async def _report(self, request: Any, call: Call) -> int:
        reasons: list[str] = []
        caller = self._authenticator.by_certificate(call.peer, reasons)
        if caller is None:
            _log.info("reporter not authenticated", reasons=reasons)
            raise authentication_refused()
        now = datetime.now(UTC)
        rows = rows_of(request, caller.identity, now)
        reporter = str(caller.identity)
        self._pass(reporter, len(rows))
        lost = min(request.lost, _LARGEST_LOSS)
        return await self._access_log.append(Batch(reporter, request.batch_id, rows, lost, now))

    def _pass(self, reporter: str, records: int) -> None:
        """RESOURCE_EXHAUSTED while the reporter has sent more than its rate."""
        now = time.monotonic()
        bucket = self._buckets.pop(reporter, None) or TokenBucket.full(self._rate, self._rate * _SECONDS_SAVED, now)
        bucket, wait = bucket.take(now)
        self._buckets[reporter] = bucket if wait else bucket.charge(records - 1)
        if len(self._buckets) > _MOST_REPORTERS:
            self._buckets.popitem(last=False)
        if wait:
            raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, f"more than {self._rate:g} access records a second")
