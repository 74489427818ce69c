"""What proxies tell about traffic: access logs, metrics and spans as Telemetry asks for them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
from asked_telemetry import applied, telemetry
from mesh import Mesh, client, service, wait_until, workload
from meshctl.adapters.envoy_admin import EnvoyAdmin

ECHO = "http://echo:9080/"


def test_an_access_log_is_written_for_the_requests_of_a_filter_on_one_side(mesh: Mesh, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    provider = {
        "name": "file",
        "envoyFileAccessLog": {
            "path": str(log),
            "logFormat": {
                "labels": {
                    "path": "%REQ(:PATH)%",
                    "code": "%RESPONSE_CODE%",
                    "route": "%ROUTE_NAME%",
                    "to": "%CEL(upstream_peer.app)%",
                }
            },
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

        def lines() -> list[str]:
            assert mesh.get(f"{ECHO}quiet").good
            assert mesh.get(f"{ECHO}told").good
            return log.read_text().splitlines() if log.exists() else []

        told = [json.loads(line) for line in wait_until("a line of the log", lines)]
    assert told == [{"path": "/told", "code": 200, "route": "default", "to": "echo"}] * len(told)


def series(mesh: Mesh, workload: str, name: str) -> list[dict[str, str]]:
    """Labels (and `value`) of each series of a metric, as the workload's agent shows it."""
    url = f"http://{mesh.workload(workload)['address']}:15020/stats/prometheus"
    text = httpx.get(url, trust_env=False, timeout=60).text
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
                    {
                        "match": {"metric": "REQUEST_COUNT", "mode": "SERVER"},
                        "tagOverrides": {"caller": {"value": "downstream_peer.labels['app'].value"}},
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
            "destination_workload": "counted",
            "destination_app": "counted",
            "destination_version": "v1",
            "destination_canonical_service": "counted",
            "destination_canonical_revision": "v1",
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
            "source_workload": "counting",
            "source_app": "counting",
            "source_canonical_service": "counting",
            "caller": "counting",
            "destination_app": "counted",
            "destination_service": "counted.books.svc.cluster.local",
            "connection_security_policy": "mutual_tls",
        }
        assert any(wanted.items() <= item.items() for item in received), received
        # what a caller without a certificate says of itself is not believed, and no application hears of it
        lie = {"x-meshcore-peer": "liar;default;liar;v9;c;liar;v9"}
        address = mesh.workload("counted")["address"]
        answer = httpx.get(f"http://{address}:9080/", headers=lie, trust_env=False, timeout=60)
        assert answer.status_code == 200
        assert "x-meshcore-peer" not in answer.text
        assert "x-meshcore-peer" not in mesh.get("http://counted.books:9080/", via="counting", headers=lie).body
        plain = wait_until(
            "a count of the caller without a certificate",
            lambda: [
                item
                for item in series(mesh, "counted", "istio_requests_total")
                if item["connection_security_policy"] == "none"
            ],
        )
        assert {item["source_workload"] for item in plain} == {"unknown"}
        assert "liar" not in str(series(mesh, "counted", "istio_requests_total"))
        assert series(mesh, "counted", "istio_request_bytes_count") == []
        wait_until("a histogram", lambda: series(mesh, "counted", "istio_request_duration_milliseconds_count"))


def test_messages_of_grpc_are_counted_on_both_sides(mesh: Mesh) -> None:
    def called() -> list[dict[str, str]]:
        answer = httpx.post(
            "http://echo:9090/envoy.service.auth.v3.Authorization/Check",
            content=bytes(5),  # one empty message
            headers={"content-type": "application/grpc", "te": "trailers"},
            proxy=mesh.proxy("client"),
            trust_env=False,
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return series(mesh, "client", "istio_response_messages_total")

    [told] = wait_until("a count of answers", called)
    assert int(told.pop("value")) > 0
    assert told.items() >= {"reporter": "source", "destination_service_name": "echo", "source_app": "client"}.items()
    asked = [item for name in ("echo-v1", "echo-v2") for item in series(mesh, name, "istio_request_messages_total")]
    assert {item["reporter"] for item in asked} == {"destination"}
    assert {item["destination_canonical_service"] for item in asked} == {"echo"}


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
