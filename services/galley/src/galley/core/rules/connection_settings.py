"""Buffers, timeouts and limits of a proxy's connections."""

from datetime import timedelta

from meshcore.model.connection_settings import ConnectionSettings
from pydantic.alias_generators import to_camel

from galley.core.rules.report import Report

_SMALLEST_WINDOW = 65535
_LEAST = {
    "listener_per_connection_buffer_limit_bytes": 0,
    "cluster_per_connection_buffer_limit_bytes": 0,
    "http_max_concurrent_streams": 1,
    "http2_initial_stream_window_size": _SMALLEST_WINDOW,
    "http2_initial_connection_window_size": _SMALLEST_WINDOW,
    "listener_connection_limit": 1,
    "global_downstream_connection_limit": 1,
}


def check_connection_settings(report: Report, path: str, settings: ConnectionSettings) -> None:
    """No number below its least (RFC 9113 §6.9.2 for windows), no negative duration."""
    for name in ConnectionSettings.model_fields:
        value = getattr(settings, name)
        if name in _LEAST and value is not None and value < _LEAST[name]:
            report.error(f"{path}.{to_camel(name)}", f"{value} is too small", f"{_LEAST[name]} or more")
        if isinstance(value, timedelta) and value < timedelta():
            report.error(f"{path}.{to_camel(name)}", "negative", "0s or more")
