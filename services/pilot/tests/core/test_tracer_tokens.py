"""Whoever looks at config sees no token of a tracer."""

import pytest
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2, skywalking_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf import any_pb2
from pilot.core.compiler.messages import any_of
from pilot.core.config_dump import as_document
from pilot.core.tracer_tokens import without_tokens

OTLP, SKYWALKING = opentelemetry_pb2.OpenTelemetryConfig(), skywalking_pb2.SkyWalkingConfig()
OTLP.grpc_service.initial_metadata.add(key="lightstep-access-token", value="secret")
OTLP.http_service.request_headers_to_add.add().header.value = "secret"
SKYWALKING.client_config.service_name = "web.shop"
SKYWALKING.client_config.backend_token = "secret"


def manager_with(tracer):
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix="kept")
    manager.tracing.provider.CopyFrom(http_tracer_pb2.Tracing.Http(name="tracer", typed_config=any_of(tracer)))
    manager.route_config.request_headers_to_add.add().header.value = "kept too"
    return any_of(manager)


@pytest.mark.parametrize("tracer", [OTLP, SKYWALKING])
def test_tokens_of_tracers_are_shown_in_no_form(tracer):
    packed = manager_with(tracer)
    shown = without_tokens(packed)
    assert b"secret" in packed.value
    assert b"secret" not in shown.value
    assert b"kept too" in shown.value
    assert "secret" not in str(as_document(packed))
    assert "[redacted]" in str(as_document(packed))


def test_what_has_no_tracer_is_shown_as_it_is():
    plain = any_pb2.Any(type_url="type.googleapis.com/of.no.known.Type", value=b"secret")
    assert without_tokens(plain) is plain
