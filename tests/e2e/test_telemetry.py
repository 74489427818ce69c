"""What proxies tell about traffic: access logs, metrics and spans as Telemetry asks for them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from mesh import Mesh, client, service, wait_until, workload
from meshctl.adapters.envoy_admin import EnvoyAdmin

ECHO = "http://echo:9080/"


def telemetry(spec: Mapping[str, Any], name: str = "asked", namespace: str = "default") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": metadata, "spec": dict(spec)}


@contextmanager
def applied(mesh: Mesh, fields: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """The mesh config with these fields and the documents, for as long as the block lasts."""
    before = mesh.mesh_config()
    text = yaml.safe_dump({**yaml.safe_load(before["data"]["mesh"]), **fields})
    mesh.converged(mesh.change([{**before, "data": {**before["data"], "mesh": text}}, *documents]))
    try:
        yield
    finally:
        mesh.converged(mesh.change([before], delete=documents))


def test_an_access_log_is_written_for_the_requests_of_a_filter_on_one_side(mesh: Mesh, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    provider = {
        "name": "file",
        "envoyFileAccessLog": {
            "path": str(log),
            "logFormat": {"labels": {"path": "%REQ(:PATH)%", "code": "%RESPONSE_CODE%", "route": "%ROUTE_NAME%"}},
        },
    }
    asked = {
        "selector": {"matchLabels": {"app": "client"}},
        "accessLogging": [
            {
                "match": {"mode": "CLIENT"},
                "providers": [{"name": "file"}],
                "filter": {"expression": "request.url_path != '/quiet'"},
            }
        ],
    }
    with applied(mesh, {"extensionProviders": [provider]}, [telemetry(asked)]):
        assert mesh.get(f"{ECHO}quiet").good
        assert mesh.get(f"{ECHO}told").good
        lines = wait_until("a line of the log", lambda: log.exists() and log.read_text().splitlines())
    assert [json.loads(line) for line in lines] == [{"path": "/told", "code": 200, "route": "default"}]


def series(mesh: Mesh, workload: str, name: str) -> list[dict[str, str]]:
    """Labels (and `value`) of each series of a metric, as the workload's agent shows it."""
    text = httpx.get(f"http://{mesh.workload(workload)['address']}:15020/stats/prometheus", trust_env=False).text
    found = []
    for line in text.splitlines():
        if line.startswith(f"{name}{{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            found.append({**labels, "value": line.rpartition(" ")[2]})
    return found


def test_requests_are_counted_where_nobody_asks_for_it(mesh: Mesh) -> None:
    def counted(workload: str, reporter: str) -> list[dict[str, str]]:
        found = series(mesh, workload, "istio_requests_total")
        return [
            item
            for item in found
            if item["reporter"] == reporter
            and item["destination_service_name"] == "echo"
            and item["source_principal"] == "spiffe://cluster.local/ns/default/sa/client"
        ]

    wait_until("a count of the client's", lambda: mesh.get(ECHO).good and counted("client", "source"))
    wait_until(
        "a count of the server's", lambda: counted("echo-v1", "destination") or counted("echo-v2", "destination")
    )


def test_requests_are_counted_on_both_sides_with_istios_labels(mesh: Mesh) -> None:
    asked = {
        "metrics": [
            {
                "providers": [{"name": "prometheus"}],
                "overrides": [
                    {
                        "match": {"metric": "REQUEST_COUNT", "mode": "CLIENT"},
                        "tagOverrides": {
                            "source_principal": {"operation": "REMOVE"},
                            "verb": {"value": "request.method"},
                        },
                    },
                    {"match": {"metric": "REQUEST_SIZE"}, "disabled": True},
                ],
            }
        ]
    }
    with applied(mesh, {}, [telemetry(asked, namespace="istio-system"), service("counted", "books")]):
        # proxies of its own: a series that was once counted stays
        mesh.add(workload("counted", namespace="books"), client("counting"))
        counted = lambda: series(mesh, "counting", "istio_requests_total")  # noqa: E731
        ask = lambda: mesh.get("http://counted.books:9080/", via="counting").good  # noqa: E731
        wait_until("a count of the client's", lambda: ask() and counted())
        sent = [item for item in counted() if item["response_code"] == "200"]
        assert len(sent) == 1, sent
        [got] = sent
        wanted = {
            "reporter": "source",
            "source_app": "counting",
            "source_workload_namespace": "default",
            "destination_service": "counted.books.svc.cluster.local",
            "destination_service_namespace": "books",
            "destination_principal": "spiffe://cluster.local/ns/books/sa/counted",
            "destination_workload_namespace": "books",
            "request_protocol": "http",
            "response_code": "200",
            "verb": "GET",
        }
        assert wanted.items() <= got.items(), got
        assert "source_principal" not in got
        received = wait_until("a count of the server's", lambda: series(mesh, "counted", "istio_requests_total"))
        wanted = {
            "reporter": "destination",
            "source_principal": "spiffe://cluster.local/ns/default/sa/counting",
            "source_workload_namespace": "default",
            "destination_app": "counted",
            "destination_service": "counted.books.svc.cluster.local",
            "connection_security_policy": "mutual_tls",
        }
        assert any(wanted.items() <= item.items() for item in received), received
        assert series(mesh, "counted", "istio_request_bytes_count") == []
        wait_until("a histogram", lambda: series(mesh, "counted", "istio_request_duration_milliseconds_count"))


class Collector:
    """A Zipkin server that keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.spans += json.loads(b"".join(self._chunks()))
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def _chunks(self) -> Iterator[bytes]:
                """The body, as Envoy sends it (RFC 9112 §7.1)."""
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    thread = threading.Thread(target=running.http.serve_forever)
    thread.start()
    yield running
    running.http.shutdown()
    thread.join()
    running.http.server_close()


def test_spans_of_both_sides_reach_the_collector_in_one_trace(mesh: Mesh, collector: Collector) -> None:
    port = collector.http.server_port
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "zipkin", "namespace": "default"},
        "spec": {
            "hosts": ["zipkin.test"],
            "ports": [{"number": 9411, "name": "http", "protocol": "HTTP", "targetPort": port}],
            "resolution": "STATIC",
            "location": "MESH_EXTERNAL",
            "endpoints": [{"address": "127.0.0.1"}],
        },
    }
    asked = {
        "tracing": [
            {
                "providers": [{"name": "zipkin"}],
                "randomSamplingPercentage": 100,
                "customTags": {"tier": {"literal": {"value": "test"}}},
            }
        ]
    }
    provider = {"name": "zipkin", "zipkin": {"service": "zipkin.test", "port": 9411}}
    with applied(mesh, {"extensionProviders": [provider]}, [entry, telemetry(asked)]):

        def both_sides() -> list[dict[str, Any]]:
            assert mesh.get(f"{ECHO}traced").good
            mine = [span for span in collector.spans if span.get("tags", {}).get("http.url", "").endswith("/traced")]
            traces = {
                span["traceId"]: {item["kind"] for item in mine if item["traceId"] == span["traceId"]} for span in mine
            }
            return mine if {"CLIENT", "SERVER"} in traces.values() else []

        spans = wait_until("spans of both sides", both_sides)
    assert {span["tags"]["tier"] for span in spans} == {"test"}
    assert {span["localEndpoint"]["serviceName"] for span in spans} == {"client.default", "echo.default"}


def test_clusters_are_counted_under_the_names_that_the_mesh_gives_them(mesh: Mesh) -> None:
    def counted_as(workload: str, cluster: str) -> str:
        shown = EnvoyAdmin(mesh.workload(workload)["envoy_admin"]).get("/clusters?format=json")
        found = (item for item in shown["cluster_statuses"] if item["name"] == cluster)
        return next((str(item.get("observability_name", "")) for item in found), "")

    names = {"outboundClusterStatName": "to_%SERVICE%_%SERVICE_PORT%", "inboundClusterStatName": "own_%SERVICE_NAME%"}
    outbound, inbound = "outbound|9080||echo.default.svc.cluster.local", "inbound|9080||"
    with applied(mesh, names, []):
        assert counted_as("client", outbound) == "to_echo.default_9080;"
        assert counted_as("echo-v1", inbound) == "own_echo;"
        assert mesh.get(ECHO).good
    assert counted_as("client", outbound) == f"{outbound};"
