"""Envoy's access log service on the agent's Unix socket: reads entries, keeps records, answers nothing.

It never makes Envoy wait: what finds no room is dropped and counted.
"""

from collections.abc import Callable
from typing import Any

import structlog
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc

from envoy_bootstrap.core.access_record import http_record, tcp_record

_log = structlog.get_logger("audit")


class AccessLogService(als_pb2_grpc.AccessLogServiceServicer):  # type: ignore[misc]
    """`keep` gets each record."""

    def __init__(self, keep: Callable[[Any], None]) -> None:
        self._keep = keep

    async def StreamAccessLogs(self, requests: Any, context: Any) -> Any:
        """One stream for each worker thread and kind of log, for as long as Envoy lives."""
        async for message in requests:
            for entry in message.http_logs.log_entry:
                self._keep(http_record(entry))
            for entry in message.tcp_logs.log_entry:
                self._keep(tcp_record(entry))
        return als_pb2.StreamAccessLogsResponse()
