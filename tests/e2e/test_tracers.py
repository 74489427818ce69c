"""Spans reach the tracers that providers name, over each one's own protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import msgspec
import pytest
from asked_telemetry import applied, telemetry
from collectors import Collector, collector_entry, grpc_collector, http_collector
from mesh import Mesh, wait_until
from meshcore.xds.wire import chunk
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

ECHO = "http://echo:9080/traced"
OTLP_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SCOPES = 2
"""The field of ResourceSpans with the spans by scope: the messages that are installed call it differently."""
SKYWALKING_METHOD = "/skywalking.v3.TraceSegmentReportService/collect"


class Span(NamedTuple):
    """What all tracers know of a span; `side` is client or server."""

    trace: str
    side: str
    service: str
    tags: Mapping[str, str]


@pytest.fixture(scope="module")
def collectors() -> Iterator[tuple[Collector, Collector]]:
    """Over HTTP and over gRPC."""
    with ExitStack() as stack:
        yield stack.enter_context(http_collector()), stack.enter_context(grpc_collector())


def zipkin_spans(path: str, http: Collector, _: Collector) -> Iterator[Span]:
    for told in http.of(path):
        for span in json.loads(told.body):
            yield Span(span["traceId"], span["kind"].lower(), span["localEndpoint"]["serviceName"], span["tags"])


def otlp_spans(bodies: list[bytes]) -> Iterator[Span]:
    for body in bodies:
        for resource in trace_service_pb2.ExportTraceServiceRequest.FromString(body).resource_spans:
            of = {item.key: item.value.string_value for item in resource.resource.attributes}
            scopes = getattr(resource, resource.DESCRIPTOR.fields_by_number[SCOPES].name)
            for span in (span for scope in scopes for span in scope.spans):
                side = "server" if span.kind == span.SPAN_KIND_SERVER else "client"
                tags = {item.key: item.value.string_value for item in span.attributes}
                yield Span(span.trace_id.hex(), side, of["service.name"], tags)


def datadog_spans(http: Collector, _: Collector) -> Iterator[Span]:
    for told in http.of("/v0.4/traces"):
        for trace in msgspec.msgpack.decode(told.body):
            for span in trace:
                side = "server" if span["parent_id"] else "client"
                yield Span(str(span["trace_id"]), side, span["service"], span["meta"])


def over_http(path: str, header: tuple[str, str]) -> Callable[[Collector, Collector], Iterator[Span]]:
    name, value = header
    return lambda http, _: otlp_spans([item.body for item in http.of(path) if item.headers.get(name) == value])


def over_grpc(header: tuple[str, str]) -> Callable[[Collector, Collector], Iterator[Span]]:
    name, value = header
    return lambda _, grpc: otlp_spans([it.body for it in grpc.of(OTLP_METHOD) if it.headers.get(name) == value])


HTTP, GRPC = {"service": "collector.test", "port": 9411}, {"service": "collector.test", "port": 4317}
TRACERS: dict[str, tuple[dict[str, Any], Callable[[Collector, Collector], Iterator[Span]]]] = {
    "zipkin": ({"zipkin": HTTP}, lambda *both: zipkin_spans("/api/v2/spans", *both)),
    "zipkin-with-headers": (
        {"zipkin": {**HTTP, "path": "/spans", "timeout": "2s", "headers": [{"name": "x-tenant", "value": "shop"}]}},
        lambda http, grpc: (
            span
            for span in zipkin_spans("/spans", http, grpc)
            if {item.headers.get("x-tenant") for item in http.of("/spans")} == {"shop"}
        ),
    ),
    "otlp-over-http": (
        {"opentelemetry": {**HTTP, "http": {"path": "/v1/traces", "headers": [{"name": "x-tenant", "value": "a"}]}}},
        over_http("/v1/traces", ("x-tenant", "a")),
    ),
    "otlp-over-grpc": (
        {"opentelemetry": {**GRPC, "grpc": {"initialMetadata": [{"name": "x-tenant", "value": "b"}]}}},
        over_grpc(("x-tenant", "b")),
    ),
    "lightstep": (
        {"lightstep": {**GRPC, "accessToken": "step-token"}},
        over_grpc(("lightstep-access-token", "step-token")),
    ),
    "datadog": ({"datadog": HTTP}, datadog_spans),
}


@pytest.mark.parametrize("name", TRACERS)
def test_spans_of_both_sides_reach_the_tracer_in_one_trace(
    name: str, mesh: Mesh, collectors: tuple[Collector, Collector]
) -> None:
    http, over = collectors
    provider, spans_of = TRACERS[name]
    asked = {
        "tracing": [
            {
                "providers": [{"name": name}],
                "randomSamplingPercentage": 100,
                "customTags": {
                    "tier": {"literal": {"value": name}},
                    "called": {"header": {"name": ":path"}},
                    "answered": {"formatter": {"value": "%RESPONSE_CODE%"}},
                    "nowhere": {"environment": {"name": "MESHCORE_NO_SUCH_VARIABLE", "defaultValue": "default"}},
                },
            }
        ]
    }
    entry = collector_entry(http.port, over.port)
    with applied(mesh, {"extensionProviders": [{"name": name, **provider}]}, [entry, telemetry(asked)]):

        def both_sides() -> list[Span]:
            assert mesh.get(ECHO).good
            mine = [span for span in spans_of(http, over) if span.tags.get("tier") == name]
            whole = {span.trace for span in mine if span.side == "client"}
            whole &= {span.trace for span in mine if span.side == "server"}
            return [span for span in mine if span.trace in whole]

        spans = wait_until("spans of both sides", both_sides)
    assert {span.service for span in spans} == {"client.default", "echo.default"}
    own = {"called": "/traced", "answered": "200", "nowhere": "default", "istio.namespace": "default"}
    assert [dict(span.tags) | own for span in spans] == [dict(span.tags) for span in spans]
    by_service = {span.service: span.tags for span in spans}
    assert by_service["client.default"]["istio.canonical_service"] == "client"
    assert by_service["echo.default"]["istio.canonical_service"] == "echo"
    assert by_service["echo.default"]["istio.canonical_revision"] in ("v1", "v2")
    assert by_service["echo.default"]["istio.mesh_id"] == "cluster.local"


def test_segments_reach_skywalking_and_nothing_is_told_where_reports_are_off(
    mesh: Mesh, collectors: tuple[Collector, Collector]
) -> None:
    http, over = collectors
    sky = {"name": "sky", "skywalking": {**GRPC, "accessToken": "sky-token"}}
    asked = {
        "tracing": [
            {"providers": [{"name": "sky"}], "randomSamplingPercentage": 100, "enableIstioTags": False},
            {"match": {"mode": "SERVER"}, "disableSpanReporting": True},
        ]
    }
    with applied(mesh, {"extensionProviders": [sky]}, [collector_entry(http.port, over.port), telemetry(asked)]):
        wait_until("a segment", lambda: mesh.get(ECHO).good and over.of(SKYWALKING_METHOD))
        assert mesh.get(ECHO).good
    told = over.of(SKYWALKING_METHOD)
    assert {item.headers["authentication"] for item in told} == {"sky-token"}
    # SegmentObject (skywalking-data-collect-protocol): 4 is the service
    assert all(chunk(4, b"client.default") in item.body for item in told)
    assert not any(b"istio.namespace" in item.body for item in told)


def test_a_trace_ends_at_the_proxy_that_passes_no_context_on(
    mesh: Mesh, collectors: tuple[Collector, Collector]
) -> None:
    http, over = collectors
    provider = {"name": "zipkin", "zipkin": {**HTTP, "path": "/alone"}}
    asked = {
        "tracing": [
            {
                "providers": [{"name": "zipkin"}],
                "randomSamplingPercentage": 100,
                "disableContextPropagation": True,
            }
        ]
    }
    with applied(mesh, {"extensionProviders": [provider]}, [collector_entry(http.port), telemetry(asked)]):

        def both_sides() -> list[Span]:
            assert mesh.get(ECHO).good
            found = list(zipkin_spans("/alone", http, over))
            return found if {"client", "server"} <= {span.side for span in found} else []

        spans = wait_until("spans of both sides", both_sides)
    clients = {span.trace for span in spans if span.side == "client"}
    assert clients.isdisjoint(span.trace for span in spans if span.side == "server")
