"""Istio's words for the other side, in expressions and formats of Telemetry and its providers, as stock Envoy knows it.

Istio's proxy has `upstream_peer` and `downstream_peer`, objects that its exchange of metadata fills. Here the caller is
in the request's metadata and whoever is called in the endpoint's. Words that have nothing behind them stay as they are.
Pure.
"""

import re
from collections.abc import Mapping
from typing import Any

from pilot.core.compiler.peer_names import PEER

_FIELDS = {
    "workload": "workload",
    "namespace": "namespace",
    "service": "canonical_service",
    "revision": "canonical_revision",
    "cluster": "cluster",
    "app": "app",
    "version": "version",
}
_FIELD = rf"(?P<side>upstream|downstream)_peer\.(?P<field>{'|'.join(_FIELDS)})\b"
_IN_EXPRESSION = re.compile(rf"(?<![\w.'\"])(?:filter_state\.)?{_FIELD}")
_LABEL = re.compile(
    r"(?<![\w.'\"])(?:filter_state\.)?(?P<side>upstream|downstream)_peer\.labels\[(?P<quote>['\"])(?P<field>app|version)"
    r"(?P=quote)\](?:\.value)?"
)
_NODE = re.compile(r"(?<![\w.'\"])node\.(?=metadata\b|id\b|cluster\b)")
_IN_FORMAT = re.compile(
    rf"%FILTER_STATE\((?:wasm\.)?(?P<side>upstream|downstream)_peer:FIELD:(?P<field>{'|'.join(_FIELDS)})\)(?::(?P<most>\d+))?%"
)
_CEL = re.compile(r"%CEL\((?P<expression>[^%]*)\)(?P<most>:\d+)?%")
_PLACES = {"upstream": "xds.upstream_host_metadata.filter_metadata", "downstream": "metadata.filter_metadata"}
_OPERATORS = {"upstream": "UPSTREAM_METADATA", "downstream": "DYNAMIC_METADATA"}


def expression_with_peers(expression: str) -> str:
    """A CEL expression for stock Envoy."""
    for pattern in (_IN_EXPRESSION, _LABEL):
        expression = pattern.sub(_place, expression)
    return _NODE.sub("xds.node.", expression)


def format_with_peers(text: str) -> str:
    """A format string for stock Envoy."""
    text = _IN_FORMAT.sub(_operator, text)
    return _CEL.sub(lambda found: f"%CEL({expression_with_peers(found['expression'])}){found['most'] or ''}%", text)


def document_with_peers(value: Any) -> Any:
    """A JSON-like value, with format strings in it."""
    if isinstance(value, str):
        return format_with_peers(value)
    if isinstance(value, Mapping):
        return {key: document_with_peers(item) for key, item in value.items()}
    return [document_with_peers(item) for item in value] if isinstance(value, list | tuple) else value


def _place(found: re.Match[str]) -> str:
    return f"{_PLACES[found['side']]}['{PEER}'].{_FIELDS[found['field']]}"


def _operator(found: re.Match[str]) -> str:
    most = f":{found['most']}" if found["most"] else ""
    return f"%{_OPERATORS[found['side']]}({PEER}:{_FIELDS[found['field']]}){most}%"
