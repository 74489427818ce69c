"""Structured logs: one JSON object per line, or coloured text on a terminal.

Messages are constant, values travel in fields. Lines of libraries that use the standard logger take the same shape.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from meshcore.runtime.redaction import redact, redact_text

_QUIET = ("uvicorn.error", "httpx", "httpcore", "nats", "asyncio", "uvicorn.access", "hpack", "h2")


def _add_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            event["trace_id"] = f"{context.trace_id:032x}"
    return event


def _strike_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if name in ("level", "timestamp", "_record", "_from_structlog"):
            continue
        event[name] = redact(value, name)
    return event


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


def configure(service: str, level: str, log_format: str, stream: Any = None) -> None:
    """Set up logging of the process; called once, before anything is logged."""
    stream = stream or sys.stdout
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Plain tracebacks: the rich ones print local variables, and a local variable may be a key.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    last = plain if console else structlog.processors.JSONRenderer(default=str)
    exceptions: list[Any] = [] if console else [structlog.processors.format_exc_info]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _RedactingFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.stdlib.ExtraAdder(),
                *exceptions,
                _strike_secrets,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
