"""Access logs reach the collectors that providers name, over each one's own protocol."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from asked_telemetry import applied, telemetry
from collectors import Collector, collector_entry, grpc_collector
from envoy.service.accesslog.v3 import als_pb2
from mesh import Mesh, wait_until
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

ALS = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
OTLP = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
SCOPES, RECORDS = 2, 2
"""Fields of ResourceLogs and of what is in it: the messages that are installed call them differently."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with grpc_collector() as running:
        yield running


def exchange(address: str, port: int, sent: bytes) -> bytes:
    """What a server says first, in plaintext."""
    with socket.create_connection((address, port), 60) as connection:
        connection.sendall(sent)
        try:
            return connection.recv(1000)
        except ConnectionResetError:
            return b""


def records(collector: Collector) -> list[tuple[str, dict[str, str]]]:
    """Body and attributes of each record of OTLP."""
    found = []
    for told in collector.of(OTLP):
        for resource in logs_service_pb2.ExportLogsServiceRequest.FromString(told.body).resource_logs:
            for scope in getattr(resource, resource.DESCRIPTOR.fields_by_number[SCOPES].name):
                for record in getattr(scope, scope.DESCRIPTOR.fields_by_number[RECORDS].name):
                    attributes = {item.key: item.value.string_value for item in record.attributes}
                    found.append((record.body.string_value, attributes))
    return found


def messages(collector: Collector) -> list[als_pb2.StreamAccessLogsMessage]:
    return [als_pb2.StreamAccessLogsMessage.FromString(told.body) for told in collector.of(ALS)]


def test_records_reach_collectors_over_otlp_and_envoys_own_service(mesh: Mesh, collector: Collector) -> None:
    at = {"service": "collector.test", "port": 4317}
    form = {"text": "%REQ(:METHOD)% %REQ(:PATH)%", "labels": {"code": "%RESPONSE_CODE%"}}
    providers = [
        {"name": "otlp", "envoyOtelAls": {**at, "logFormat": form}},
        {"name": "http", "envoyHttpAls": {**at, "logName": "of-http", "additionalRequestHeadersToLog": ["x-shop"]}},
        {"name": "tcp", "envoyTcpAls": {**at, "logName": "of-tcp"}},
    ]
    asked = {"accessLogging": [{"providers": [{"name": item["name"]} for item in providers]}]}
    with applied(
        mesh, {"extensionProviders": providers}, [collector_entry(over_grpc=collector.port), telemetry(asked)]
    ):
        address = mesh.workload("echo-v1")["address"]

        def told() -> bool:
            assert mesh.get("http://echo:9080/logged", headers={"x-shop": "books"}).good
            assert exchange(address, 9000, b"bytes\n")
            came = messages(collector)
            return bool(records(collector)) and all(
                any(getattr(message, kind).log_entry for message in came) for kind in ("http_logs", "tcp_logs")
            )

        wait_until("entries of every kind", told)
    assert ("GET /logged", {"code": "200"}) in records(collector)
    logs = messages(collector)
    assert {message.identifier.log_name for message in logs if message.HasField("identifier")} == {"of-http", "of-tcp"}
    http = [entry for message in logs for entry in message.http_logs.log_entry]
    assert {entry.request.request_headers["x-shop"] for entry in http if entry.request.path == "/logged"} == {"books"}
    tcp = [entry for message in logs for entry in message.tcp_logs.log_entry]
    assert any(entry.connection_properties.received_bytes == len(b"bytes\n") for entry in tcp)


def test_a_connection_that_no_chain_takes_is_told_by_the_listener(mesh: Mesh, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    form = {"labels": {"flags": "%RESPONSE_FLAGS%", "port": "%DOWNSTREAM_LOCAL_PORT%"}}
    provider = {"name": "file", "envoyFileAccessLog": {"path": str(log), "logFormat": form}}
    asked = {
        "selector": {"matchLabels": {"app": "ledger"}},
        "accessLogging": [{"match": {"mode": "SERVER"}, "providers": [{"name": "file"}]}],
    }
    strict = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "strict", "namespace": "books"},
        "spec": {"mtls": {"mode": "STRICT"}},
    }
    documents = [telemetry(asked, namespace="books"), strict]
    with applied(mesh, {"extensionProviders": [provider]}, documents):
        address = mesh.workload("ledger")["address"]

        def lines() -> list[str]:
            assert exchange(address, 9000, b"bytes\n") == b""
            return log.read_text().splitlines() if log.exists() else []

        told = [json.loads(line) for line in wait_until("a line of the log", lines)]
    assert told == [{"flags": "NR", "port": 9000}] * len(told)
