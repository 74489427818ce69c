"""OpenTelemetry of a service: spans and trace ids always, export only when an OTLP endpoint is named.

`OTEL_EXPORTER_OTLP_ENDPOINT` (and the other variables of the OpenTelemetry specification) say where to; without it
nothing is exported and nothing of the exporter is imported.
"""

import os
from collections.abc import Callable

from meshcore import metrics
from meshcore.light_imports import light_imports


def configure(service: str, version: str) -> Callable[[], None]:
    """Install the tracer and meter providers; returns what flushes and stops them."""
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    # The SDK describes a process with psutil, for those who are told of it.
    with light_imports(*(() if endpoint else ("psutil",))):
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import DEFAULT_OFF

    resource = Resource.create({"service.name": service, "service.version": version, "service.namespace": "meshcore"})
    sampler = None if endpoint else DEFAULT_OFF  # ids for logs and changes; no span is recorded for nobody
    tracer_provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
    trace.set_tracer_provider(tracer_provider)
    if not endpoint:
        return tracer_provider.shutdown

    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.metrics import set_meter_provider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meter_provider = MeterProvider(
        [PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource, shutdown_on_exit=False
    )
    set_meter_provider(meter_provider)
    metrics.observe_with(meter_provider.get_meter("meshcore"))

    def stop() -> None:
        tracer_provider.shutdown()
        meter_provider.shutdown()

    return stop


def current_traceparent() -> str:
    """W3C `traceparent` of the current span, or "" outside of one."""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
