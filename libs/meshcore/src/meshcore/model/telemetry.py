"""Telemetry: which metrics, traces and access logs a workload makes (telemetry.istio.io)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import Bool, Double, Duration, MeshModel, StatusObject
from meshcore.model.cel import Cel, has
from meshcore.model.destination_rule import PolicySelector
from meshcore.model.policy_target import ONE_TARGET, PolicyTargetReference, TargetReferences


class WorkloadMode(StrEnum):
    """The side of a connection that the workload is on."""

    CLIENT_AND_SERVER = "CLIENT_AND_SERVER"
    CLIENT = "CLIENT"
    SERVER = "SERVER"


NonEmpty = Annotated[str, Field(min_length=1)]


class ModeMatch(MeshModel):
    """On which side."""

    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER


class ProviderRef(MeshModel):
    """An extension provider of the mesh config."""

    name: NonEmpty


class LiteralTag(MeshModel):
    """A constant."""

    value: NonEmpty


class NamedTag(MeshModel):
    """The value of an environment variable or header of that name."""

    name: NonEmpty
    default_value: str = ""


class CustomTag(MeshModel):
    """A tag of spans and where its value comes from."""

    literal: LiteralTag | None = None
    environment: NamedTag | None = None
    header: NamedTag | None = None
    formatter: LiteralTag | None = None
    one_of = (("literal", "environment", "header", "formatter"),)


class Tracing(MeshModel):
    """Spans; unset fields inherit."""

    match: ModeMatch | None = None
    providers: tuple[ProviderRef, ...] = ()
    random_sampling_percentage: Annotated[Double, Field(ge=0, le=100)] | None = None
    disable_span_reporting: Bool | None = None
    disable_context_propagation: Bool | None = None
    custom_tags: Mapping[str, CustomTag] = {}
    use_request_id_for_trace_sampling: Bool | None = None
    enable_istio_tags: Bool | None = None


class Metric(StrEnum):
    """Istio's standard metrics."""

    ALL_METRICS = "ALL_METRICS"
    REQUEST_COUNT = "REQUEST_COUNT"
    REQUEST_DURATION = "REQUEST_DURATION"
    REQUEST_SIZE = "REQUEST_SIZE"
    RESPONSE_SIZE = "RESPONSE_SIZE"
    TCP_OPENED_CONNECTIONS = "TCP_OPENED_CONNECTIONS"
    TCP_CLOSED_CONNECTIONS = "TCP_CLOSED_CONNECTIONS"
    TCP_SENT_BYTES = "TCP_SENT_BYTES"
    TCP_RECEIVED_BYTES = "TCP_RECEIVED_BYTES"
    GRPC_REQUEST_MESSAGES = "GRPC_REQUEST_MESSAGES"
    GRPC_RESPONSE_MESSAGES = "GRPC_RESPONSE_MESSAGES"


class MetricMatch(MeshModel):
    """Which metric, on which side."""

    metric: Metric | None = None
    custom_metric: NonEmpty | None = None
    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER
    one_of = (("metric", "custom_metric"),)


class TagOperation(StrEnum):
    """What is done to a tag of a metric."""

    UPSERT = "UPSERT"
    REMOVE = "REMOVE"


class TagOverride(MeshModel):
    """One tag: set to an expression or taken away."""

    operation: TagOperation = TagOperation.UPSERT
    value: str | None = None
    cel = (
        Cel(
            '((has(self.operation) ? self.operation : "") == "UPSERT") ? (self.value != "") : true',
            "value must be set when operation is UPSERT",
            lambda tag: tag.operation is not TagOperation.UPSERT or bool(tag.value),
        ),
        Cel(
            '((has(self.operation) ? self.operation : "") == "REMOVE") ? !has(self.value) : true',
            "value must not be set when operation is REMOVE",
            lambda tag: tag.operation is not TagOperation.REMOVE or not has(tag, "value"),
        ),
    )


class MetricsOverride(MeshModel):
    """What differs for the metrics that match."""

    match: MetricMatch | None = None
    disabled: Bool | None = None
    tag_overrides: Mapping[str, TagOverride] = {}


class Metrics(MeshModel):
    """Metrics of some providers."""

    providers: tuple[ProviderRef, ...] = ()
    overrides: tuple[MetricsOverride, ...] = ()
    reporting_interval: Duration | None = None


class LogFilter(MeshModel):
    """A CEL expression; entries for which it is false are not written."""

    expression: str = ""


class AccessLogging(MeshModel):
    """Access logs of some providers."""

    match: ModeMatch | None = None
    providers: tuple[ProviderRef, ...] = ()
    disabled: Bool | None = None
    filter: LogFilter | None = None


class TelemetrySpec(MeshModel):
    """Targets and settings."""

    selector: PolicySelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = ()
    tracing: tuple[Tracing, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()
    cel = (ONE_TARGET,)


class Telemetry(StatusObject):
    """What a workload tells about its traffic."""

    spec: TelemetrySpec = TelemetrySpec()
