"""Labels, protocols of ports, and the servers of a Gateway."""

from collections.abc import Mapping
from typing import Any

from galley.core.rules.label_maps import check_labels
from galley.core.rules.report import Report
from meshcore.model.gateway import Server
from meshcore.protocol import Protocol, parse_protocol, select_protocol

_NAMES = {
    Protocol.AUTO: "Unsupported",
    Protocol.GRPC_WEB: "GRPC-Web",
    Protocol.MONGO: "Mongo",
    Protocol.MYSQL: "MySQL",
    Protocol.REDIS: "Redis",
}
"""Istio's spelling, where it is not the upper case of ours."""


def _spelled(protocol: Protocol) -> str:
    return _NAMES.get(protocol, protocol.value.upper())


def _labels_valid(given: Mapping[str, Any]) -> bool:
    report = Report()
    check_labels(report, "labels", given["labels"])
    return not report.errors


def _port_protocol(given: Mapping[str, Any]) -> str:
    return _spelled(
        select_protocol(
            given.get("name", ""), given.get("port", 0), given.get("appProtocol"), given.get("protocol", "TCP")
        )
    )


def _server(given: Mapping[str, Any]) -> Server:
    return Server.model_validate({"hosts": ["*"], **given["server"]})


TOPICS = {
    "labels-valid": _labels_valid,
    "protocol-parse": lambda given: _spelled(parse_protocol(given["text"])),
    "service-port-protocol": _port_protocol,
    "gateway-server-is-http": lambda given: _server(given).is_http,
    "gateway-server-is-passthrough": lambda given: _server(given).passes_through,
    "gateway-server-terminates-https": lambda given: _server(given).terminates_https,
    "gateway-server-terminates-tcp-tls": lambda given: _server(given).terminates_tcp_tls,
}
